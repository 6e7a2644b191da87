//! `~/.pgpass`: passwords of servers, one `HOST:PORT:DATABASE:USER:PASSWORD` a line, in the form and with the rules of libpq.
//!
//! `*` stands for anything, `\` takes its meaning from what follows it, a line that begins with `#` is a remark, the first line that
//! fits counts. A file that others may read is not used.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a password is looked up by.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A name or an IP address; `localhost` for a socket where one is looked for by itself.
    pub host: &'a str,
    /// The port.
    pub port: &'a str,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// What a file gave.
#[derive(PartialEq, Eq)]
pub enum Found {
    /// The password.
    Password(String),
    /// There is no file, or no line that fits.
    Nothing,
    /// Why the file is not used.
    Unused(String),
}

/// Looks a password up.
pub fn look_up(path: &Path, wanted: Wanted<'_>) -> Found {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Unused(format!("cannot read '{shown}': {error}")),
    };
    if !metadata.is_file() {
        return Found::Unused(format!("'{shown}' was not used: it is no plain file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Found::Unused(format!("'{shown}' was not used: others may read it; chmod 600 '{shown}'"));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => text.lines().find_map(|line| of_line(line, wanted)).map_or(Found::Nothing, Found::Password),
        Err(error) => Found::Unused(format!("cannot read '{shown}': {error}")),
    }
}

/// The password of a line that fits.
fn of_line(line: &str, wanted: Wanted<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for value in [wanted.host, wanted.port, wanted.database, wanted.user] {
        rest = behind(rest, value)?;
    }
    Some(field(rest).0)
}

/// What stands behind a field that is `value`, or anything.
fn behind<'a>(line: &'a str, value: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let (text, rest) = field(line);
    rest.filter(|_| text == value)
}

/// The first field without its escapes, and what stands behind its colon.
fn field(line: &str) -> (String, Option<&str>) {
    let mut text = String::new();
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ':' => return (text, Some(&line[at + 1..])),
            '\\' => text.push(letters.next().map_or('\\', |(_, letter)| letter)),
            letter => text.push(letter),
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let wanted = Wanted { host: "h:1", port: "5432", database: "d", user: r"u\v" };
        let found = text.lines().find_map(|line| of_line(line, wanted));
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        check(r"h\:1:5432:d:u\\v:geheim", Some("geheim"));
        check("*:*:*:*:geheim", Some("geheim"));
        check("other:*:*:*:no\n*:*:other:*:no\n*:*:*:*:geheim\n*:*:*:*:late", Some("geheim"));
        check("#*:*:*:*:no\n\n*:*:d:*:geheim", Some("geheim"));
        check(r"*:*:*:*:ge\:h\\eim", Some(r"ge:h\eim"));
        check(r"*:*:*:*:geheim:more", Some("geheim"));
        check("*:*:*:*:", Some(""));
        check("h*:*:*:*:no", None);
        check("*:5432:d", None);
        check(r"*:*:*:u\v:no", None);
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        let wanted = Wanted { host: "h", port: "1", database: "d", user: "u" };
        let unused = |word: &str| match look_up(&path, wanted) {
            Found::Unused(reason) => assert!(reason.contains(word) && !reason.contains("geheim"), "{reason}"),
            _ => panic!("it was used"),
        };
        assert!(look_up(&path, wanted) == Found::Nothing);
        std::fs::write(&path, "h:1:d:u:geheim\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        unused("chmod 600");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(look_up(&path, wanted) == Found::Password("geheim".into()));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        unused("no plain file");
    }
}
