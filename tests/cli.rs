//! Every program by data files: `tests/cli/TOOL/CASE.toml` has the arguments and the exit status, `CASE.stdin` the input,
//! `CASE.stdout` and `CASE.stderr` what must come out, `CASE.in/` the files of the folder that it runs in, `CASE.out/` files that
//! must stand there afterwards (`fs.sandbox = true` gives it a folder of its own).
//!
//! trycmd takes `\` and `/` for the same and reads text only: what a backslash or a broken byte becomes is tested by
//! `acceptance.rs`.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes what came out into the files; `git diff` shows what changed.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

#[test]
fn the_programs_answer_as_the_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let cases = cases_under(&root);
    assert!(!cases.is_empty(), "no case was found under '{}'", root.display());
    let overwrite = std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite");
    for case in &cases {
        // What has no file is not compared, so a forgotten one would hide an error.
        for stream in ["stdout", "stderr"] {
            let expected = case.with_extension(stream);
            if overwrite {
                OpenOptions::new().create(true).append(true).open(&expected).expect("the case's folder can be written");
            }
            assert!(expected.exists(), "'{}' is missing; TRYCMD=overwrite writes it", expected.display());
        }
    }
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .timeout(std::time::Duration::from_secs(60))
        .case("tests/cli/*/*.toml");
}

/// Every `TOOL/CASE.toml` under `root`.
fn cases_under(root: &Path) -> Vec<PathBuf> {
    let pattern = root.join("*/*.toml");
    let found = glob::glob(pattern.to_str().expect("the path is UTF-8")).expect("the pattern is valid");
    found.map(|path| path.expect("the folder is readable")).collect()
}
