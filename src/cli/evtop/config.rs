//! What evtop's run needs, checked.
//!
//! What the process finds around it (its stdin, its terminal, its environment) is handed in, so that every rule can be tested.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration as StdDuration;

use anyhow::{Context, anyhow};

use crate::cli::evtop::args::{Args, ColorArg};
use crate::cli::exit::ReportContext;
use crate::cli::kafka::{ClientArgs, begin, explained};
use crate::cli::registry::{RegistryArgs, UserArgs};
use crate::dashboard::layout::Layout;
use crate::dashboard::once::Size;
use crate::kafka::source::From as Begin;
use crate::source::address::{Address, KafkaAddress};
use crate::source::clock::SystemClock;
use crate::source::input::{Input, InputFormat, inputs};
use crate::store::default_path;
use crate::time::{Clock, Duration, Timestamp};

/// What the process finds around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whether stdin is a pipe or a socket.
    pub stdin_is_pipe: bool,
    /// Whether it is a regular file.
    pub stdin_is_file: bool,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// The clock.
    pub now: Timestamp,
    /// `COLUMNS`.
    pub columns: Option<OsString>,
    /// `LINES`.
    pub lines: Option<OsString>,
    /// `NO_COLOR`.
    pub no_color: Option<OsString>,
    /// `TERM`.
    pub term: Option<OsString>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        use std::io::IsTerminal;
        use std::os::unix::fs::FileTypeExt;
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let kind = stdin.and_then(|stdin| stdin.metadata()).map(|metadata| metadata.file_type()).ok();
        Surroundings {
            stdin_is_pipe: kind.is_some_and(|kind| kind.is_fifo() || kind.is_socket()),
            stdin_is_file: kind.is_some_and(|kind| kind.is_file()),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            now: SystemClock.now(),
            columns: std::env::var_os("COLUMNS"),
            lines: std::env::var_os("LINES"),
            no_color: std::env::var_os("NO_COLOR"),
            term: std::env::var_os("TERM"),
        }
    }
}

/// What the run needs.
#[derive(Debug)]
pub struct Config {
    /// What is read.
    pub from: From,
    /// Its name.
    pub input_name: String,
    /// Whether more may come at any time.
    pub is_live: bool,
    /// How fast a recorded stream is played, in thousandths of the clock.
    pub speed_milli: Option<u64>,
    /// The panels, if they are not one for each metric.
    pub layout: Option<Layout>,
    /// The dashboard that holds them, if they are in a registry.
    pub dashboard: Option<DashboardName>,
    /// The size of the only frame; None for live ones.
    pub once: Option<Size>,
    /// How long the end of the input is waited for.
    pub patience: Option<StdDuration>,
    /// Whether colours are used.
    pub has_colour: bool,
}

/// What is read.
#[derive(Debug)]
pub enum From {
    /// A stream of lines.
    Stream(Vec<Input>),
    /// The store in this file.
    Store(PathBuf),
    /// A topic.
    Topic(TopicInput),
}

/// A dashboard in a registry.
#[derive(Debug, PartialEq)]
pub struct DashboardName {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub registry: RegistryArgs,
    /// Whose it is.
    pub user: UserArgs,
}

/// A topic that is read.
#[derive(Debug)]
pub struct TopicInput {
    /// Where it is.
    pub address: KafkaAddress,
    /// How its client is set up.
    pub client: ClientArgs,
    /// Where reading begins.
    pub begin: Begin,
    /// Whether it is read only up to the end that it has now.
    pub to_end: bool,
}

/// Where a topic is begun where nothing is said: what is needed for panels with a history.
const TOPIC_HISTORY: Duration = Duration(3_600_000_000);

impl Config {
    /// Checks how the flags fit together and what they name. Every error is the user's to mend.
    pub fn new(args: Args, around: &Surroundings) -> anyhow::Result<Config> {
        if !args.once && !around.stdout_is_terminal {
            return Err(anyhow!("cannot show a dashboard: stdout is no terminal"))
                .hint("--once prints one frame as text");
        }
        let address = match args.input.as_deref().or(args.from.as_deref()) {
            Some(text) => Address::parse(text)?,
            None if around.stdin_is_pipe || around.stdin_is_file => Address::Stdio,
            None => Address::Store(None),
        };
        let store = match &address {
            Address::Store(Some(path)) => Some(path.clone()),
            Address::Store(None) => Some(default_path()?),
            // A server keeps no account of what was written and taken back since one last looked: all would be asked for anew each time.
            Address::Influx(_) => {
                return Err(anyhow!("cannot watch '{address}': evtop shows a store, a topic, a pipe or a file")).hint(
                    format!(
                        "evquery METRIC --follow --from {address} shows new rows; or pipe them: evwindow … | evtop"
                    ),
                );
            }
            Address::Archive(_) => {
                return Err(anyhow!("cannot watch '{address}': evtop shows a store, a topic, a pipe or a file"));
            }
            Address::Stdio | Address::Path(_) | Address::Kafka(_) => None,
        };
        if let Some(missing) = store.as_ref().filter(|path| !path.exists()) {
            return Err(anyhow!("cannot follow the store: there is none at '{}'", missing.display()))
                .hint("evwindow --to store: makes one; or pipe rows in, as in 'evwindow … | evtop'");
        }
        let (registry, user) = (args.registry.clone(), args.user.clone());
        let dashboard = args.dashboard.clone().map(|name| DashboardName { name, registry, user });
        if dashboard.is_none() && (args.registry.registry.is_some() || args.user.user.is_some()) {
            return Err(anyhow!("cannot take --registry and --user: they say where a dashboard is, and none is named"))
                .hint("name it with --dashboard");
        }
        let topic = topic(&args, &address, around.now)?;
        let inputs = match (&store, &topic) {
            (Some(_), _) | (_, Some(_)) => Vec::new(),
            (None, None) => inputs(std::slice::from_ref(&address), None)?,
        };
        if let Some(csv) = inputs.iter().find(|input| input.format != InputFormat::Ndjson) {
            return Err(anyhow!("cannot read '{}': evtop reads rows as NDJSON", csv.name()))
                .hint("write them with evwindow --format ndjson");
        }
        let is_live = match &address {
            Address::Stdio => !around.stdin_is_file,
            Address::Path(path) => path.exists() && !path.is_file(),
            _ => true,
        };
        if args.speed.is_some() && is_live {
            return Err(anyhow!("cannot play '{address}' at a speed of one's own: it is no file"))
                .hint("record the stream with tee, and play the file: evtop rows.ndjson --speed 10x");
        }
        let once = if args.once { Some(args.size.map_or_else(|| size_around(around), Ok)?) } else { None };
        Ok(Config {
            input_name: inputs.first().map_or_else(|| address.to_string(), Input::name),
            from: match (store, topic) {
                (Some(store), _) => From::Store(store),
                (None, Some(topic)) => From::Topic(topic),
                (None, None) => From::Stream(inputs),
            },
            is_live,
            speed_milli: args.speed,
            layout: args.layout.map(read_layout).transpose()?,
            dashboard,
            patience: args.patience.map(|patience| StdDuration::from_micros(patience.0.unsigned_abs())),
            has_colour: has_colour(args.color, around, args.once),
            once,
        })
    }
}

/// The topic that is read, if the address is one.
fn topic(args: &Args, address: &Address, now: Timestamp) -> anyhow::Result<Option<TopicInput>> {
    let Address::Kafka(address) = address else {
        return match &args.start {
            Some(_) => Err(anyhow!("cannot take --start: it is for topics, and '{address}' is none"))
                .hint("evtop kafka://HOST:PORT/TOPIC"),
            None => Ok(None),
        };
    };
    args.client.settings(&address.brokers)?.client(&[]).map_err(explained)?;
    let begin = match &args.start {
        Some(text) => begin(text, now)?,
        None => Begin::At(Timestamp(now.0.saturating_sub(TOPIC_HISTORY.0))),
    };
    Ok(Some(TopicInput { address: address.clone(), client: args.client.clone(), begin, to_end: args.once }))
}

/// A size such as `80x24`.
pub fn size(text: &str) -> Result<Size, &'static str> {
    const WRONG: &str = "write columns and lines up to 1000, as '80x24'";
    let (width, height) = text.split_once('x').ok_or(WRONG)?;
    let side = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|side| is_number && (1..=1000).contains(side)).ok_or(WRONG)
    };
    Ok(Size { width: side(width)?, height: side(height)? })
}

fn size_around(around: &Surroundings) -> anyhow::Result<Size> {
    let side = |name: &str, value: &Option<OsString>, otherwise: u16| match value.as_deref().and_then(OsStr::to_str) {
        None | Some("") => Ok(otherwise),
        Some(text) => match size(&format!("{text}x1")) {
            Ok(size) => Ok(size.width),
            Err(_) => Err(anyhow!("cannot use {name} '{text}': it must be a number from 1 to 1000")),
        },
    };
    let (width, height) = (side("COLUMNS", &around.columns, 80)?, side("LINES", &around.lines, 24)?);
    Ok(Size { width, height })
}

fn has_colour(color: ColorArg, around: &Surroundings, is_once: bool) -> bool {
    let refuses = around.no_color.as_ref().is_some_and(|value| !value.is_empty());
    let is_dumb = around.term.as_deref().is_some_and(|term| term == "dumb");
    match color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        // One frame is text for whoever reads it later.
        ColorArg::Auto => !is_once && !refuses && !is_dumb,
    }
}

fn read_layout(path: PathBuf) -> anyhow::Result<Layout> {
    let shown = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the layout '{shown}'"))?;
    Layout::parse(&text).with_context(|| format!("cannot use the layout '{shown}'"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            stdin_is_pipe: true,
            stdin_is_file: false,
            stdout_is_terminal: true,
            now: Timestamp(7_200_000_000),
            columns: None,
            lines: None,
            no_color: None,
            term: None,
        }
    }

    fn config(line: &str, around: &Surroundings) -> anyhow::Result<Config> {
        Config::new(Args::try_parse_from(line.split(' ').filter(|word| !word.is_empty()))?, around)
    }

    #[track_caller]
    fn check_error(line: &str, around: &Surroundings, expected: &str) {
        let error = config(line, around).expect_err("it must be refused");
        let report = crate::cli::exit::report("evtop", &error);
        assert!(report.contains(expected), "{report}");
    }

    /// A recorded stream, in a folder that is there as long as the test.
    fn recorded() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.ndjson");
        std::fs::write(&path, "").unwrap();
        (folder, path.display().to_string())
    }

    #[test]
    fn where_rows_come_from() {
        assert_eq!(config("evtop", &around()).unwrap().input_name, "stdin");
        assert!(config("evtop", &around()).unwrap().is_live);
        let file = Surroundings { stdin_is_pipe: false, stdin_is_file: true, ..around() };
        assert!(!config("evtop", &file).unwrap().is_live);
        let terminal = Surroundings { stdin_is_pipe: false, ..around() };
        check_error("evtop store:nowhere.db", &terminal, "hint: evwindow --to store: makes one; or pipe rows in");
        let (_folder, path) = recorded();
        let named = config(&format!("evtop --from {path}"), &terminal).unwrap();
        assert_eq!((named.input_name, named.is_live), (path.clone(), false));
        check_error("evtop nowhere.ndjson", &around(), "cannot read 'nowhere.ndjson'");
        std::fs::write(path.replace("ndjson", "csv"), "").unwrap();
        check_error(&format!("evtop {}", path.replace("ndjson", "csv")), &around(), "evtop reads rows as NDJSON");
        check_error("evtop a --from b", &around(), "cannot be used with");
        check_error("evtop influx://h:1/o/b", &terminal, "hint: evquery METRIC --follow --from influx://h:1/o/b shows");
    }

    #[test]
    fn a_topic_is_read_from_an_hour_ago_unless_said_otherwise() {
        let begin = |flags: &str| match config(&format!("evtop kafka://h:1/t{flags}"), &around()).unwrap().from {
            From::Topic(topic) => (topic.begin, topic.to_end),
            other => panic!("{other:?}"),
        };
        assert_eq!(begin(""), (Begin::At(Timestamp(3_600_000_000)), false));
        assert_eq!(begin(" --start -10m"), (Begin::At(Timestamp(6_600_000_000)), false));
        assert_eq!(begin(" --start earliest --once"), (Begin::Earliest, true));
        assert_eq!(begin(" --start latest"), (Begin::Latest, false));
        check_error("evtop --start latest", &around(), "cannot take --start: it is for topics, and '-' is none");
        check_error("evtop kafka://h:1/t --start now", &around(), "write earliest, latest, @TIME or -1h");
        check_error("evtop kafka://h:1/t --speed 2x", &around(), "it is no file");
        check_error("evtop kafka://h:1/t -X acks=1", &around(), "'acks' is not to be set");
    }

    #[test]
    fn a_dashboard_needs_a_terminal() {
        let piped = Surroundings { stdout_is_terminal: false, ..around() };
        check_error("evtop", &piped, "stdout is no terminal\nhint: --once prints one frame as text");
        assert!(config("evtop --once", &piped).is_ok());
    }

    #[test]
    fn speed_is_for_files() {
        check_error("evtop --speed 10x", &around(), "it is no file");
        let (_folder, path) = recorded();
        let played = config(&format!("evtop {path} --speed 10x"), &around()).unwrap();
        assert_eq!(played.speed_milli, Some(10_000));
        check_error("evtop rows.ndjson --speed 10x --once", &around(), "cannot be used with");
    }

    #[test]
    fn the_size_of_a_frame() {
        let size_of = |line: &str, around: &Surroundings| config(line, around).map(|config| config.once);
        let some = |width, height| Some(Size { width, height });
        assert_eq!(size_of("evtop", &around()).unwrap(), None);
        assert_eq!(size_of("evtop --once", &around()).unwrap(), some(80, 24));
        assert_eq!(size_of("evtop --once --size 200x60", &around()).unwrap(), some(200, 60));
        let told = Surroundings { columns: Some("120".into()), lines: Some("".into()), ..around() };
        assert_eq!(size_of("evtop --once", &told).unwrap(), some(120, 24));
        let wrong = Surroundings { lines: Some("many".into()), ..around() };
        check_error("evtop --once", &wrong, "cannot use LINES 'many'");
        for text in ["80", "80x", "x24", "0x24", "80x1001", "+8x24", "80x24x1"] {
            check_error(&format!("evtop --once --size {text}"), &around(), "as '80x24'");
        }
        check_error("evtop --size 80x24", &around(), "--once");
        check_error("evtop --for 5s", &around(), "--once");
    }

    #[test]
    fn colours() {
        let colour = |line: &str, around: &Surroundings| config(line, around).unwrap().has_colour;
        let refusing = Surroundings { no_color: Some("1".into()), ..around() };
        let dumb = Surroundings { term: Some("dumb".into()), ..around() };
        assert!(colour("evtop", &around()));
        assert!(!colour("evtop", &refusing) && !colour("evtop", &dumb) && !colour("evtop --once", &around()));
        assert!(!colour("evtop --color never", &around()));
        assert!(colour("evtop --color always", &refusing) && colour("evtop --once --color always", &around()));
    }

    #[test]
    fn dashboards() {
        let named = |line: &str| config(line, &around()).unwrap().dashboard;
        let found = named("evtop --dashboard shop --registry r.db --user 7").unwrap();
        assert_eq!((&*found.name, found.registry.registry, found.user.user), ("shop", Some("r.db".into()), Some(7)));
        assert_eq!(named("evtop"), None);
        check_error("evtop --registry r.db", &around(), "none is named");
        check_error("evtop --dashboard shop --layout a.toml", &around(), "cannot be used with");
    }

    #[test]
    fn a_layout_that_is_wrong_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[[row]]\n[[row.panel]]\nmetrics = 'm'\n").unwrap();
        let line = format!("evtop --layout {}", path.display());
        check_error(&line, &around(), "mine.toml': line 3: unknown key 'metrics' in a panel; did you mean 'metric'?");
        check_error("evtop --layout nowhere.toml", &around(), "cannot read the layout 'nowhere.toml'");
    }
}
