//! Rules of the house that the compiler doesn't know, checked by reading the sources: which module may name which,
//! what the core must not touch, and how a file begins. ARCHITECTURE.md has the same table in words.
//!
//! It reads Rust by its words, not by its grammar: comments and literals are blanked, test modules cut out, and what
//! is left is searched for paths. It doesn't expand macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// The layers from the bottom up. A module names modules of lower layers, and of its own where no circle arises.
/// A new name here, or one that moves, is a decision about the architecture: change ARCHITECTURE.md with it.
const LAYERS: [&[&str]; 6] = [
    &["time", "partition", "record", "event", "metric", "stats", "value"],
    &["expr", "aggregate", "batch"],
    &["codec", "plan", "window", "watermark", "pattern", "anomaly", "generate", "validate"],
    &["source", "sink", "kafka", "store", "registry", "archive"],
    &["pipeline", "query", "api", "dashboard"],
    &["cli", "bin"],
];

/// Layers beneath this one do no I/O, read no clock and start no thread.
const LAYER_FIRST_WITH_IO: usize = 3;

/// What only the edges may name: paths of which none may be the beginning of a path in the core.
const EDGES_ONLY: [&str; 15] = [
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::thread",
    "std::process",
    "std::env",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::Instant",
    "std::time::SystemTime",
    "chrono::Utc::now",
    "chrono::Local",
    "rayon",
];

/// Crates that one part of the house keeps to itself.
const KEPT_TO: [(&str, &[&str]); 19] = [
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("anyhow", &["cli"]),
    ("rdkafka", &["kafka"]),
    ("ratatui", &["dashboard"]),
    ("rusqlite", &["store", "registry"]),
    ("jsonschema", &["validate"]),
    ("crossterm", &["dashboard"]),
    ("axum", &["api"]),
    ("arrow_array", &["archive"]),
    ("arrow_schema", &["archive"]),
    ("parquet", &["archive"]),
    ("influxdb2", &["store"]),
    ("ureq", &["store"]),
    ("tokio_postgres", &["registry"]),
    ("postgres_native_tls", &["registry"]),
    ("native_tls", &["registry"]),
    ("tokio", &["api", "store", "registry"]),
];

/// Names that say nothing of a file's job.
const NAMELESS: [&str; 5] = ["util", "utils", "common", "helpers", "misc"];

/// A file longer than this says in its head why, with the words of `LONG_REASON`.
const LINES_MAX: usize = 600;
const LONG_REASON: &str = "long because";
const BIN_LINES_MAX: usize = 20;

/// Behind it stands an item that only tests see.
const TEST_MARK: &str = "#[cfg(test)]";

#[test]
fn the_sources_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        read_rust_files(root, folder, &mut files);
    }
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs"),
        "the sources were not found under '{}'",
        root.display()
    );
    let found = violations(&files);
    assert!(found.is_empty(), "{} places break a rule of the house:\n{}", found.len(), found.join("\n"));
}

/// One source file.
struct File {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
}

/// Adds every Rust file beneath `root/folder`, in the order of their names. A folder that isn't there has none.
fn read_rust_files(root: &Path, folder: &str, files: &mut Vec<File>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("the folder is readable").file_name().into_string())
        .map(|name| name.expect("file names are UTF-8"))
        .collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            read_rust_files(root, &path, files);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(root.join(&path)).expect("a source file is readable and UTF-8");
            files.push(File { path, text });
        }
    }
}

/// Every broken rule, as `path:line: what is wrong`.
fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    let test_modules: Vec<String> = files.iter().flat_map(test_modules_of).collect();
    let mut named_by: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for file in files {
        check_text(file, &mut found);
        let Some(in_src) = file.path.strip_prefix("src/") else { continue };
        if in_src == "lib.rs" || test_modules.iter().any(|test| is_within(in_src, test)) {
            continue;
        }
        let module = in_src.split('/').next().expect("split gives one part at least").trim_end_matches(".rs");
        let Some(layer) = layer_of(module) else {
            found.push(format!("{}:1: module '{module}' is not in the table of layers", file.path));
            continue;
        };
        for (line, path) in paths(&without_tests(&without_comments(&file.text))) {
            if let Some(wrong) = path_violation(module, layer, &path) {
                found.push(format!("{}:{line}: {wrong}", file.path));
            }
            if let Some(other) = sibling(module, layer, &path) {
                let place = format!("{}:{line}", file.path);
                named_by.entry(module.to_string()).or_default().entry(other).or_insert(place);
            }
        }
    }
    found.extend(circles(&named_by));
    found
}

/// Rules for the text of any file, comments included.
fn check_text(file: &File, found: &mut Vec<String>) {
    let mut wrong = |line: usize, what: String| found.push(format!("{}:{line}: {what}", file.path));
    let name = file.path.rsplit('/').next().expect("split gives one part at least").trim_end_matches(".rs");
    let line_count = file.text.lines().count();
    if !file.text.starts_with("//!") {
        wrong(1, "the file doesn't open with '//!' and what it is responsible for".into());
    }
    if NAMELESS.contains(&name) {
        wrong(1, format!("'{name}' says nothing of the file's job"));
    }
    let head: String = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if line_count > LINES_MAX && !head.contains(LONG_REASON) {
        wrong(line_count, format!("over {LINES_MAX} lines, and the head doesn't say 'This file is {LONG_REASON} …'"));
    }
    if file.path.starts_with("src/bin/") && line_count > BIN_LINES_MAX {
        wrong(line_count, format!("a program has at most {BIN_LINES_MAX} lines; the rest belongs in cli"));
    }
    // Put together here so that this file doesn't break its own rule.
    for folder in ["work", "tmp", "root", "home"] {
        let machine_path = format!("\"/{folder}/");
        for (index, _) in file.text.lines().enumerate().filter(|(_, line)| line.contains(&machine_path)) {
            wrong(index + 1, format!("a path of one machine, {machine_path}…\""));
        }
    }
    for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
        for (index, _) in file.text.lines().enumerate().filter(|(_, line)| line.contains(mark)) {
            wrong(index + 1, format!("the mark '{mark}': do it, or list it where the user reads it"));
        }
    }
}

/// What is wrong with naming `path` in `module` of `layer`, if anything.
fn path_violation(module: &str, layer: usize, path: &str) -> Option<String> {
    let starts_with = |start: &str| path == start || path.starts_with(&format!("{start}::"));
    if path.split("::").any(|part| part == "super") {
        return Some(format!("'{path}': write the path in full, from crate"));
    }
    if starts_with("crate") && path.ends_with("::*") {
        return Some(format!("'{path}': name what is used instead of everything"));
    }
    if let Some(other) = module_named(path) {
        match layer_of(&other) {
            None => return Some(format!("'{path}': module '{other}' is not in the table of layers")),
            Some(other_layer) if other_layer > layer => {
                return Some(format!("'{path}': {module} is in layer {layer} and can't name layer {other_layer}"));
            }
            Some(_) => {}
        }
    }
    if layer < LAYER_FIRST_WITH_IO
        && let Some(edge) = EDGES_ONLY.iter().find(|edge| starts_with(edge))
    {
        return Some(format!("'{path}': the core (layers 0 to 2) doesn't name {edge}"));
    }
    let (name, owners) = KEPT_TO.iter().find(|(name, _)| starts_with(name))?;
    if owners.contains(&module) {
        return None;
    }
    Some(format!("'{path}': only {} may name {name}", owners.join(", ")))
}

/// The other module of the same layer that `path` names, if it does.
fn sibling(module: &str, layer: usize, path: &str) -> Option<String> {
    module_named(path).filter(|other| other != module && layer_of(other) == Some(layer))
}

/// The module that a path names, when it is a path of this crate.
fn module_named(path: &str) -> Option<String> {
    let rest = path.strip_prefix("crate::").or_else(|| path.strip_prefix("evkit::"))?;
    rest.split("::").next().map(str::to_string)
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The modules that a file declares for tests only and that stand in files of their own: their paths from `src`, without `.rs`.
fn test_modules_of(file: &File) -> Vec<String> {
    let folder = match file.path.trim_start_matches("src/").trim_end_matches(".rs").rsplit_once('/') {
        Some((folder, "mod")) => format!("{folder}/"),
        None if file.path == "src/lib.rs" => String::new(),
        _ => format!("{}/", file.path.trim_start_matches("src/").trim_end_matches(".rs")),
    };
    let code = without_comments(&file.text);
    let declared = code.split(TEST_MARK).skip(1).filter_map(|behind| {
        let words = words(behind);
        let name = words.windows(3).take(5).find(|three| three[0].1 == "mod" && three[2].1 == ";")?[1].1;
        Some(format!("{folder}{name}"))
    });
    declared.collect()
}

/// Whether a file is the module at `module` or within it; both from `src`.
fn is_within(in_src: &str, module: &str) -> bool {
    in_src.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// A circle among the modules of a layer, named by its edges; the first one found from each module is enough.
fn circles(named_by: &BTreeMap<String, BTreeMap<String, String>>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for start in named_by.keys() {
        let mut trail = vec![start.clone()];
        if walk_back_to(start, named_by, &mut trail, &mut BTreeSet::new()) {
            let mut wrong = format!("a circle between modules: {}", trail.join(" names "));
            for pair in trail.windows(2) {
                let _ = write!(wrong, "\n    {} names {} at {}", pair[0], pair[1], named_by[&pair[0]][&pair[1]]);
            }
            // The same circle is found from each of its modules: it is told from the first one's side only.
            if trail.iter().min() == Some(start) {
                found.insert(wrong);
            }
        }
    }
    found.into_iter().collect()
}

/// Extends `trail` until it is back at `start`; false, with the trail as it was, where no way leads back.
fn walk_back_to(
    start: &str,
    named_by: &BTreeMap<String, BTreeMap<String, String>>,
    trail: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
) -> bool {
    let here = trail.last().expect("a trail has its start").clone();
    let Some(next_modules) = named_by.get(&here) else { return false };
    for next in next_modules.keys() {
        if next == start {
            trail.push(next.clone());
            return true;
        }
        if seen.insert(next.clone()) {
            trail.push(next.clone());
            if walk_back_to(start, named_by, trail, seen) {
                return true;
            }
            trail.pop();
        }
    }
    false
}

/// The same text with comments and the insides of literals made blank; lines stay where they are.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let end = literal_or_comment_end(bytes, i);
        for byte in &mut out[i..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end.max(i + 1);
    }
    String::from_utf8(out).expect("whole literals and comments were made blank")
}

/// Where the comment or literal that begins at `start` ends; `start` when none begins there.
fn literal_or_comment_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    let after_word = start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
    if rest.starts_with(b"//") {
        return start + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, start);
    }
    let raw_prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix));
    if let Some(prefix) = raw_prefix.filter(|_| !after_word) {
        let hashes = rest[prefix.len()..].iter().take_while(|&&b| b == b'#').count();
        if rest.get(prefix.len() + hashes) == Some(&b'"') {
            let close = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
            let inside = start + prefix.len() + hashes + 1;
            let length = bytes[inside..].windows(close.len()).position(|window| window == close);
            return length.map_or(bytes.len(), |length| inside + length + close.len());
        }
    }
    match rest[0] {
        b'"' => quoted_end(bytes, start, b'"'),
        // A lifetime has no closing quote one character later.
        b'\'' if rest.get(1) == Some(&b'\\') => quoted_end(bytes, start, b'\''),
        b'\'' => {
            let character = std::str::from_utf8(&rest[1..rest.len().min(5)]).unwrap_or_else(|error| {
                std::str::from_utf8(&rest[1..1 + error.valid_up_to()]).expect("valid up to there")
            });
            let length = character.chars().next().map_or(0, char::len_utf8);
            if length > 0 && rest.get(1 + length) == Some(&b'\'') { start + length + 2 } else { start }
        }
        _ => start,
    }
}

/// Where a nested block comment ends.
fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

/// Where a literal with backslash escapes ends.
fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut i = start + 1;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// The same code with every item under `#[cfg(test)]` made blank; takes code without comments.
fn without_tests(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(start) = out.find(TEST_MARK) {
        let mut depth = 0;
        let mut end = out.len();
        for (index, byte) in out.bytes().enumerate().skip(start + TEST_MARK.len()) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (byte == b'}' || byte == b';') {
                end = index + 1;
                break;
            }
        }
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Every path in the code with its line, `use` lists written out; takes code without comments.
fn paths(code: &str) -> Vec<(usize, String)> {
    let words = words(code);
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        if words[i].1 == "use" {
            i = use_tree(&words, i + 1, "", &mut found);
        } else if is_name(words[i].1) {
            let (line, mut path) = (words[i].0, words[i].1.to_string());
            while i + 2 < words.len() && words[i + 1].1 == "::" && is_name(words[i + 2].1) {
                i += 2;
                path = format!("{path}::{}", words[i].1);
            }
            found.push((line, path));
            i += 1;
        } else {
            i += 1;
        }
    }
    found
}

/// Writes out the tree that begins at word `i` behind `prefix`; gives the word after it.
fn use_tree(words: &[(usize, &str)], mut i: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut path = prefix.to_string();
    while let Some(&(line, word)) = words.get(i) {
        match word {
            "::" => i += 1,
            "{" => {
                i += 1;
                while words.get(i).is_some_and(|word| word.1 != "}") {
                    i = use_tree(words, i, &path, found);
                    i += usize::from(words.get(i).is_some_and(|word| word.1 == ","));
                }
                return i + 1;
            }
            "as" => i += 2,
            name if is_name(name) || name == "*" => {
                path = if path.is_empty() { name.to_string() } else { format!("{path}::{name}") };
                i += 1;
                if words.get(i).is_none_or(|word| word.1 != "::") {
                    found.push((line, path.trim_end_matches("::self").to_string()));
                }
            }
            _ => return i,
        }
    }
    i
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs, each with its line counted from 1.
fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push((index + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Checks that a file at `path` holding `code` breaks the rules as `expected` says (parts of the messages, in order).
fn check(path: &str, code: &str, expected: &[&str]) {
    check_files(&[(path, code)], expected);
}

fn check_files(files: &[(&str, &str)], expected: &[&str]) {
    let files: Vec<File> =
        files.iter().map(|(path, code)| File { path: path.to_string(), text: format!("//! Head.\n{code}") }).collect();
    let found = violations(&files);
    let as_expected = found.len() == expected.len() && found.iter().zip(expected).all(|(is, part)| is.contains(part));
    assert!(as_expected, "\nfound:    {found:#?}\nexpected: {expected:#?}");
}

#[test]
fn a_module_names_lower_layers_and_its_own() {
    check("src/batch.rs", "use crate::time::Timestamp;", &[]);
    check("src/window/mod.rs", "use crate::watermark::Watermark;", &[]);
    check("src/pipeline/run.rs", "fn f() { crate::sink::open(crate::source::open()) }", &[]);
    check("src/bin/evgen.rs", "fn main() { evkit::cli::evgen::main() }", &[]);
}

#[test]
fn a_module_does_not_name_a_higher_layer() {
    check("src/time.rs", "use crate::batch::Column;", &["src/time.rs:2: 'crate::batch::Column': time is in layer 0"]);
    check("src/expr/parse.rs", "\nfn f(x: &crate::window::Slice) {}", &["src/expr/parse.rs:3: "]);
    check(
        "src/codec/mod.rs",
        "use crate::{time::Timestamp, sink::{self, Sink}};",
        &["'crate::sink'", "'crate::sink::Sink'"],
    );
    check("src/sink/mod.rs", "pub(crate) use crate :: cli :: Config as C;", &["'crate::cli::Config'"]);
}

#[test]
fn a_module_must_be_in_the_table() {
    check("src/gadget.rs", "", &["module 'gadget' is not in the table"]);
    check("src/cli/mod.rs", "use crate::gadget::Gadget;", &["module 'gadget' is not in the table"]);
}

#[test]
fn modules_of_a_layer_form_no_circle() {
    let codec = ("src/codec/mod.rs", "use crate::plan::Plan;");
    check_files(&[codec, ("src/plan/mod.rs", "use crate::window::Window;")], &[]);
    check_files(&[codec, ("src/plan/mod.rs", "use crate::codec::Codec;")], &["codec names plan names codec"]);
    let others = [("src/plan/mod.rs", "use crate::window::W;"), ("src/window/mod.rs", "use crate::codec::C;")];
    check_files(&[codec, others[0], others[1]], &["codec names plan names window names codec"]);
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let hidden = "
        //! See `crate::cli::Args`.
        /* crate::cli::A /* nested */ crate::cli::B */
        fn f<'a>(x: &'a str) -> char { let _ = (\"crate::cli \\\" crate::cli::C\", r#\"crate::cli::\"D\"#, b\"crate::cli::E\"); '\"' }
        fn g() -> char { let _ = '\\''; 'ü' }
        #[cfg(test)]
        mod tests { use super::*; fn t() { crate::cli::run(); std::thread::spawn(f); } }";
    check("src/batch.rs", hidden, &[]);
    check("src/batch.rs", &format!("{hidden}\nuse crate::cli::After;"), &["'crate::cli::After'"]);
    check("src/batch.rs", "fn f<'a>(x: &'a str) { crate::cli::run('a') }", &["'crate::cli::run'"]);
    check("src/batch.rs", "#[cfg(test)]\nuse crate::cli::A;\nuse crate::cli::B;", &["src/batch.rs:4: 'crate::cli::B'"]);
}

#[test]
fn a_test_module_may_stand_in_files_of_its_own() {
    let test = "use super::*; use crate::cli::run;";
    let wrong = ["'super::*'", "'crate::cli::run'"];
    let declares = "mod slide;\n#[cfg(test)]\npub(crate) mod model;";
    check_files(&[("src/window/mod.rs", declares), ("src/window/model.rs", test)], &[]);
    check_files(&[("src/window/mod.rs", declares), ("src/window/model/late.rs", test)], &[]);
    check_files(&[("src/window/mod.rs", declares), ("src/window/models.rs", test)], &wrong);
    check_files(&[("src/window/mod.rs", declares), ("src/window/slide.rs", test)], &wrong);
    check_files(&[("src/window/slide.rs", "#[cfg(test)]\nmod cases;"), ("src/window/slide/cases.rs", test)], &[]);
    check_files(&[("src/window/slide.rs", "mod cases;"), ("src/window/slide/cases.rs", test)], &wrong);
    check_files(&[("src/lib.rs", "#[cfg(test)]\nmod simulation;"), ("src/simulation.rs", test)], &[]);
}

#[test]
fn paths_are_written_in_full() {
    check("src/window/slide.rs", "use super::Window;", &["'super::Window': write the path in full"]);
    check("src/window/slide.rs", "use crate::batch::*;", &["name what is used"]);
    check("src/window/slide.rs", "use crate::{batch::{*}, time::Timestamp};", &["'crate::batch::*'"]);
}

#[test]
fn the_core_has_no_io_no_clock_no_thread() {
    check("src/codec/mod.rs", "use std::{fs::File, fmt};", &["doesn't name std::fs"]);
    check("src/window/mod.rs", "fn f() { std::thread::spawn(g); }", &["doesn't name std::thread"]);
    check("src/time.rs", "use std::time::{Duration, Instant};", &["doesn't name std::time::Instant"]);
    check("src/plan/mod.rs", "use rayon::prelude::*;", &["doesn't name rayon"]);
    check("src/codec/mod.rs", "use std::io::{Read, stdin};", &["doesn't name std::io::stdin"]);
    check("src/source/mod.rs", "use std::fs::File; use std::time::Instant;", &[]);
}

#[test]
fn some_crates_are_kept_to_one_part() {
    check("src/cli/evgen.rs", "use clap::Parser;", &[]);
    check("src/plan/mod.rs", "#[derive(clap::ValueEnum)] enum E {}", &["only cli may name clap"]);
    check("src/store/mod.rs", "use tokio::runtime; use rdkafka::Message;", &["only kafka may name rdkafka"]);
}

#[test]
fn files_say_what_they_are_for_and_stay_short() {
    let no_head = File { path: "src/time.rs".into(), text: "use std::fmt;".into() };
    assert_eq!(violations(&[no_head]).len(), 1);
    let lines = "\n".repeat(LINES_MAX);
    check("src/time.rs", &lines, &["over 600 lines"]);
    check("src/time.rs", &format!("//! This file is {LONG_REASON} time is.\n{lines}"), &[]);
    check("src/bin/evgen.rs", &"\n".repeat(BIN_LINES_MAX), &["a program has at most 20 lines"]);
    check("src/window/util.rs", "", &["'util' says nothing"]);
    check("tests/cli.rs", concat!("const P: &str = \"/wo", "rk/here\";"), &["a path of one machine"]);
    check("src/time.rs", concat!("// TO", "DO later"), &["the mark"]);
}
