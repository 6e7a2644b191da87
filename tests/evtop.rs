//! evtop on a real terminal: every key and flag, signals, and that the terminal is given back whatever happens.
//!
//! tmux is the terminal. What must appear is waited for, with a limit; a failure shows the screen as it was. What frames look like in
//! detail is compared by `src/dashboard/view/tests.rs`.

mod support;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::{LIMIT, programs};

/// A terminal with a script at work in it. Dropped, it is gone with all that it started.
struct Terminal {
    socket: String,
    place: tempfile::TempDir,
}

impl Terminal {
    /// A terminal of 80x24, and in a folder of its own `rows.ndjson`; nothing runs in it yet.
    fn new() -> Terminal {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let place = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(place.path().join("rows.ndjson"), rows(50)).expect("the folder can be written");
        let socket = format!("evtop-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Terminal { socket, place }
    }

    /// A terminal in which `script` runs by bash; it says its exit code at the end.
    fn of(script: &str) -> Terminal {
        let terminal = Terminal::new();
        terminal.run(script);
        terminal
    }

    fn run(&self, script: &str) {
        let path = self.path("script");
        std::fs::write(&path, script).expect("the folder can be written");
        // What is behind it keeps the terminal as it was left, until the test has seen it.
        let shell = format!(
            "bash --norc {}; echo \"code $?\"; stty -a | grep -o -e ' icanon' -e ' echo ' ; exec sleep 600",
            path.display()
        );
        self.start(&shell);
    }

    fn start(&self, shell: &str) {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell])
            .env("PATH", path)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .current_dir(self.place.path())
            .output()
            .expect("tmux is installed (apt-get install tmux)");
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().expect("tmux is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Presses keys, by tmux's names for them.
    fn press(&self, keys: &[&str]) -> &Terminal {
        keys.iter().for_each(|key| drop(self.tmux(&["send-keys", key])));
        self
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < LIMIT, "not seen within {LIMIT:?}: {what}\n--- screen\n{screen}\n---");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn sees(&self, text: &str) -> &Terminal {
        self.wait(&format!("'{text}'"), |screen| screen.contains(text));
        self
    }

    #[track_caller]
    fn sees_no(&self, text: &str) -> &Terminal {
        self.wait(&format!("no '{text}'"), |screen| !screen.contains(text));
        self
    }

    /// Waits for the end of the script: its code, a terminal with a cursor, echo and lines, and nothing of evtop left on it.
    #[track_caller]
    fn ends_with(&self, code: i32) -> &Terminal {
        self.sees(&format!("code {code}")).sees(" icanon").sees(" echo");
        assert_eq!(
            self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]),
            "0 1\n",
            "{}",
            self.screen()
        );
        self
    }

    /// Sends a signal to the evtop that runs in it.
    #[track_caller]
    fn signal(&self, signal: &str) -> &Terminal {
        // The script has written its process's number, and exec made it evtop's.
        let id = std::fs::read_to_string(self.path("id")).expect("the script writes its number");
        let status = Command::new("kill").args([signal, id.trim()]).status().expect("kill can be started");
        assert!(status.success());
        self
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Two metrics over so many minutes: `sales` by country, and `visits` without groups.
fn rows(minutes: i64) -> String {
    let mut text = String::new();
    for minute in 0..minutes {
        let window = format!(
            "\"window_start\":\"2026-01-01T00:{minute:02}:00.000Z\",\"window_end\":\"2026-01-01T00:{:02}:00.000Z\"",
            minute + 1
        );
        for (index, country) in ["Denmark", "France", "Ghana"].iter().enumerate() {
            let (total, orders) = (300 - 100 * index, 10 * (index + 1));
            writeln!(
                text,
                "{{\"metric\":\"sales\",{window},\"country\":\"{country}\",\"total\":{total},\"orders\":{orders},\"revision\":0}}"
            )
            .expect("a string takes everything");
        }
        writeln!(text, "{{\"metric\":\"visits\",{window},\"n\":{},\"revision\":0}}", 1000 + minute)
            .expect("a string takes everything");
    }
    text
}

#[test]
fn keys_select_sort_filter_zoom_and_quit() {
    let terminal = Terminal::of("cat rows.ndjson | evtop");
    terminal.sees("ended").sees("rows 200").sees("sales").sees("visits").sees("Ghana").sees("1,049").sees("40 windows");
    terminal.press(&["?"]).sees("any key goes back").press(&["x"]).sees_no("any key goes back");
    terminal.press(&["s"]).sees("by total").press(&["s"]).sees("by orders");
    let first_of = |screen: &str| screen.lines().nth(5).unwrap_or_default().to_owned();
    terminal.wait("Ghana first", |screen| first_of(screen).contains("Ghana"));
    terminal.press(&["s"]).sees("by name").press(&["s"]).sees_no("by name");
    terminal.press(&["/", "g", "h"]).sees("only groups with: gh").sees_no("Denmark");
    terminal
        .press(&["BSpace", "BSpace", "f", "r", "Enter"])
        .sees("only groups with 'fr'")
        .sees("France")
        .sees_no("Ghana");
    terminal.press(&["Escape"]).sees("Ghana").sees_no("only groups");
    terminal.press(&["/", "z"]).sees_no("Ghana").press(&["Escape"]).sees("Ghana");
    terminal.press(&["+"]).sees("20 windows").press(&["-", "-"]).sees("80 windows").press(&["+"]).sees("40 windows");
    terminal.press(&["q"]).ends_with(0);
}

#[test]
fn keys_move_between_panels_and_groups_and_open_a_chart() {
    let terminal = Terminal::of("evtop rows.ndjson");
    terminal.sees("ended");
    let chart_of = |keys: &[&str], expected: &str| {
        terminal.press(keys).press(&["Enter"]).sees(expected).press(&["Escape"]).sees("Enter chart");
    };
    chart_of(&[], "Denmark  now 300");
    chart_of(&["Down"], "France  now 200");
    chart_of(&["j"], "Ghana  now 100");
    chart_of(&["Up"], "France  now 200");
    chart_of(&["k"], "Denmark  now 300");
    chart_of(&["End"], "Ghana  now 100");
    chart_of(&["Home"], "Denmark  now 300");
    chart_of(&["NPage"], "Ghana  now 100");
    chart_of(&["PPage"], "Denmark  now 300");
    chart_of(&["G"], "Ghana  now 100");
    chart_of(&["g"], "Denmark  now 300");
    for (there, back) in [("Tab", "BTab"), ("Right", "Left"), ("l", "h")] {
        chart_of(&[there], "visits: n");
        chart_of(&[back], "sales: total");
    }
    // Within the chart: another group, another field, another range.
    terminal.press(&["Enter"]).sees("Denmark  now 300").press(&["j"]).sees("France  now 200");
    terminal.press(&["s", "s"]).sees("sales: orders").sees("40 windows").press(&["+"]).sees("20 windows");
    terminal.press(&["C-c"]).ends_with(0);
}

#[test]
fn rows_are_shown_as_they_come_and_the_picture_can_be_held() {
    let terminal = Terminal::new();
    let pipe = terminal.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be started");
    assert!(made.success());
    terminal.run("cat pipe | evtop");
    let all = rows(50);
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    let mut writer = File::create(&pipe).expect("the pipe has a reader");
    let mut write =
        |from: usize, to: usize| writer.write_all(lines[from..to].concat().as_bytes()).expect("evtop reads");
    terminal.sees("live").sees("no row has come yet");
    write(0, 4);
    terminal.sees("rows 4").sees("1,000").sees("why a window waits: evwindow --emit rows,watermarks,stats");
    terminal.press(&["space"]).sees("HELD");
    write(4, 8);
    terminal.sees("behind by 4").sees("1,000");
    terminal.press(&["space"]).sees("1,001").sees_no("HELD");
    write(8, 9);
    terminal.sees("rows 9");
    writer.write_all(b"{\"watermark\":\"2026-01-01T00:02:10.000Z\"}\nnonsense\n").expect("evtop reads");
    terminal.sees("00:02:10, ").sees("malformed 1");
    terminal.sees("next: visits at 00:03, waits for 50.0s of event time");
    drop(writer);
    terminal.sees("ended").press(&["q"]).ends_with(0);
}

#[test]
fn quitting_ends_the_pipeline_before_it_with_success() {
    let script = "evgen --rate 2000 | evwindow -t 1s --watermark-delay 0s --emit rows,watermarks,stats | evtop\necho \"all ${PIPESTATUS[*]}\"";
    let terminal = Terminal::of(script);
    terminal.sees("events").sees("live").sees("held by 'stdin'").sees("behind").sees("late 0");
    terminal.press(&["q"]).sees("all 0 0 0").ends_with(0);
}

#[test]
fn the_terminal_may_change_its_size() {
    let terminal = Terminal::of("evtop rows.ndjson");
    terminal.sees("ended");
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.wait("the last line at the new height", |screen| {
        screen.lines().nth(39).is_some_and(|line| line.contains("? help"))
    });
    terminal.tmux(&["resize-window", "-x", "30", "-y", "5"]);
    terminal.sees("evtop needs 40x12");
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.sees("Ghana").press(&["q"]).ends_with(0);
}

#[test]
fn signals_give_the_terminal_back() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let terminal = Terminal::of("bash -c 'echo $$ >id; exec evtop rows.ndjson'");
        terminal.sees("ended").signal(signal).ends_with(code);
    }
}

#[test]
fn a_stopped_evtop_gives_the_terminal_back_and_goes_on() {
    let terminal = Terminal::new();
    // The prompt counts: which one is there tells who reads the next key.
    terminal.start("HISTFILE= PS1='at \\#> ' bash --norc -i");
    terminal.sees("at 1>").press(&["cat rows.ndjson | evtop", "Enter"]).sees("ended");
    terminal.press(&["C-z"]).sees("at 2>").sees_no("Ghana");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]), "0 1\n");
    terminal.press(&["fg", "Enter"]).sees("Ghana").press(&["s"]).sees("by total");
    terminal.press(&["C-z"]).sees("at 3>").press(&["fg", "Enter"]).sees("by total").press(&["q"]).sees("at 4>");
    terminal.press(&["bash -c 'echo $$ >id; exec evtop rows.ndjson'", "Enter"]).sees("ended");
    terminal.signal("-TSTP").sees("at 5>").press(&["fg", "Enter"]).sees("Ghana").press(&["q"]).sees("at 6>");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    // The same test, started by itself in a terminal: panics there, on a thread beside the one that draws.
    if std::env::var_os("EVTOP_PANICS").is_some() {
        let _terminal = evkit::dashboard::terminal::Terminal::take(true).expect("there is a terminal");
        let thread = std::thread::spawn(|| panic!("as was asked for"));
        let _ = thread.join();
        return;
    }
    let program = std::env::current_exe().expect("a test knows its program");
    let name = "a_panic_gives_the_terminal_back";
    let terminal =
        Terminal::of(&format!("EVTOP_PANICS=1 RUST_BACKTRACE=0 '{}' --exact {name} --nocapture", program.display()));
    terminal.ends_with(101).sees("as was asked for");
}

#[test]
fn a_recorded_stream_is_played_at_a_speed() {
    let terminal = Terminal::of("evtop rows.ndjson --speed 1x");
    // The second minute is a minute away.
    terminal.sees("recorded").sees("rows 4").sees("1,000").press(&["q"]).ends_with(0);
    let terminal = Terminal::of("evtop rows.ndjson --speed 100000x");
    terminal.sees("ended").sees("rows 200").press(&["q"]).ends_with(0);
}

#[test]
fn panels_are_laid_out_by_a_file() {
    let terminal = Terminal::new();
    let layout = "[[row]]\n[[row.panel]]\nmetric = 'sales'\ntitle = 'All countries'\ngroup = []\nkind = 'value'\n[[row.panel]]\nmetric = 'returns'\n";
    std::fs::write(terminal.path("mine.toml"), layout).expect("the folder can be written");
    terminal.run("evtop --layout mine.toml --from rows.ndjson");
    terminal.sees("All countries").sees("600").sees("no row of 'returns' has come yet").press(&["q"]).ends_with(0);
}

#[test]
fn colours_are_used_as_asked() {
    let has_colours = |script: &str| {
        let terminal = Terminal::of(script);
        terminal.sees("ended").sees("Ghana");
        // Colour 6 is that of the selected panel's frame.
        terminal.tmux(&["capture-pane", "-p", "-e"]).contains("38;5;6m")
    };
    assert!(has_colours("evtop rows.ndjson"));
    assert!(!has_colours("NO_COLOR=1 evtop rows.ndjson"));
    assert!(has_colours("NO_COLOR=1 evtop rows.ndjson --color always"));
    assert!(!has_colours("evtop rows.ndjson --color never"));
}

#[test]
fn an_input_that_breaks_is_told_and_what_came_stays() {
    let terminal = Terminal::new();
    let script = "gzip -c rows.ndjson | head -c 1000 >cut.ndjson.gz; evtop cut.ndjson.gz";
    terminal.run(script);
    terminal.sees("ended").sees("cannot read 'cut.ndjson.gz'").press(&["q"]).ends_with(1);
    terminal.sees("evtop: cannot read 'cut.ndjson.gz'");
}

#[test]
fn no_terminal_no_dashboard() {
    let place: &Path = &std::env::temp_dir();
    let ended = support::bash_in(place, "echo | evtop", b"");
    ended.assert_code(2);
    assert_eq!(
        ended.stderr,
        "evtop: cannot show a dashboard: stdout is no terminal\nhint: --once prints one frame as text\n"
    );
}
