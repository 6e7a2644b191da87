//! The README's commands do what it says. Every ```sh block is run, in order, in one folder, and must end with 0;
//! a ```json or ```text block right behind it is its stdout, where a line of `…` stands for any lines.
//! Commands that a test must not run (installing, building) stand in ```console blocks.
//!
//! `TRYCMD=overwrite cargo test --test readme` writes what came out into the page, as many lines as are shown before a `…`.

mod support;

#[test]
fn the_commands_of_the_readme_work() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let mut readme = std::fs::read_to_string(path).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() >= 5, "{} examples were found in README.md", examples.len());
    let overwrite = std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite");
    let place = tempfile::tempdir().unwrap();
    // The reader stands in the clone.
    for folder in ["metrics", "layouts"] {
        let ours = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::os::unix::fs::symlink(ours, place.path().join(folder)).unwrap();
    }
    for example in examples {
        let ended = support::bash_in(place.path(), &example.script, b"");
        let shown = format!("README.md:{}:\n{}", example.line, example.script);
        assert_eq!(ended.code, 0, "{shown}\n--- stdout\n{}\n--- stderr\n{}\n---", ended.stdout, ended.stderr);
        let Some(expected) = &example.stdout else { continue };
        if !fits(expected, &ended.stdout) && overwrite {
            readme = readme.replacen(expected, &shortened_alike(expected, &ended.stdout), 1);
            std::fs::write(path, &readme).unwrap();
            continue;
        }
        assert!(fits(expected, &ended.stdout), "{shown}\n--- expected\n{expected}\n--- stdout\n{}\n---", ended.stdout);
    }
}

/// What needs servers can at least be explained.
#[test]
fn the_queries_of_other_commands_are_right() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let metrics = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics");
    std::os::unix::fs::symlink(metrics, place.path().join("metrics")).unwrap();
    // What a command reads.
    std::fs::write(place.path().join("access.ndjson"), "").unwrap();
    let commands = windowing(&readme);
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let ended = support::bash_in(place.path(), &format!("{command} --explain"), b"");
        assert_eq!(ended.code, 0, "{command}\n--- stderr\n{}\n---", ended.stderr);
    }
}

/// The calls of evwindow in ```console blocks.
fn windowing(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let text = blocks.collect::<String>().replace("\\\n", " ").replace("|\n", "|");
    let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands = commands.map(|line| line.split(" # ").next().unwrap_or_default());
    let stages = commands.flat_map(|command| command.split('|')).map(str::trim);
    stages.filter(|stage| stage.starts_with("evwindow ")).map(str::to_owned).collect()
}

/// A block of commands, and the output that is shown behind it.
#[derive(Debug, PartialEq)]
struct Example {
    line: usize,
    script: String,
    stdout: Option<String>,
}

fn examples(markdown: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut lines = markdown.lines().enumerate().peekable();
    // Whether nothing but empty lines stands between the last commands and here.
    let mut behind_commands = false;
    while let Some((index, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            behind_commands &= line.is_empty();
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            text.push_str(line);
            text.push('\n');
        }
        if language == "sh" {
            found.push(Example { line: index + 1, script: text, stdout: None });
        } else if behind_commands && matches!(language, "json" | "text") {
            found.last_mut().expect("commands stand before").stdout = Some(text);
        }
        behind_commands = language == "sh";
    }
    found
}

/// Whether `actual` is `expected`, where a line of `…` stands for any number of lines.
fn fits(expected: &str, actual: &str) -> bool {
    let expected: Vec<&str> = expected.lines().collect();
    let actual: Vec<&str> = actual.lines().collect();
    fits_lines(&expected, &actual)
}

fn fits_lines(expected: &[&str], actual: &[&str]) -> bool {
    match expected {
        [] => actual.is_empty(),
        ["…", rest @ ..] => (0..=actual.len()).any(|skipped| fits_lines(rest, &actual[skipped..])),
        [first, rest @ ..] => actual.first() == Some(first) && fits_lines(rest, &actual[1..]),
    }
}

/// The first lines of `actual`, as many as `expected` has before its `…`, and a `…`; all of them where it has none.
fn shortened_alike(expected: &str, actual: &str) -> String {
    let Some(shown) = expected.lines().position(|line| line == "…") else { return actual.to_string() };
    let first: Vec<&str> = actual.lines().take(shown).chain(["…"]).collect();
    first.join("\n") + "\n"
}

#[test]
fn commands_are_found_with_their_output() {
    let readme =
        "text\n```sh\na\nb\n```\n\n```json\n{}\n```\n```console\n$ c\n```\n```sh\nd\n```\nwords\n```text\ne\n```\n";
    let with = Example { line: 2, script: "a\nb\n".into(), stdout: Some("{}\n".into()) };
    let without = Example { line: 13, script: "d\n".into(), stdout: None };
    assert_eq!(examples(readme), [with, without]);
}

#[test]
fn calls_of_evwindow_are_found() {
    let readme = "```sh\nevwindow -t 1m\n```\n```console\n$ evgen |\n    evwindow -t 1m | evtop  # live\n$ evquery x\n```\n\
                  words\n```console\n$ evwindow --from a \\\n    --to b      # in another terminal\n```\n";
    assert_eq!(windowing(readme), ["evwindow -t 1m", "evwindow --from a      --to b"]);
}

#[test]
fn dots_stand_for_any_lines() {
    for (expected, actual, fit) in [
        ("a\nb\n", "a\nb\n", true),
        ("a\n…\n", "a\nb\nc\n", true),
        ("a\n…\nc\n", "a\nb\nc\n", true),
        ("…\n", "", true),
        ("a\n…\nb\n", "a\nb\nc\n", false),
        ("a\n", "a\nb\n", false),
        ("a\nb\n", "a\n", false),
    ] {
        assert_eq!(fits(expected, actual), fit, "{expected:?} and {actual:?}");
    }
}

#[test]
fn output_is_shortened_as_it_was() {
    assert_eq!(shortened_alike("old\n…\n", "a\nb\nc\n"), "a\n…\n");
    assert_eq!(shortened_alike("old\n", "a\nb\n"), "a\nb\n");
}
