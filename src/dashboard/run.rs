//! The dashboard's loop: takes in what comes, draws what has changed.
//!
//! ```text
//!  wait ─▶ keys, signals ─▶ lines into the model ─▶ a frame, at most every 45 ms ─▶ wait
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::Event as TerminalEvent;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::dashboard::feed::{Feed, FeedError};
use crate::dashboard::inbox::Inbox;
use crate::dashboard::keys::{Action, Shown, press};
use crate::dashboard::layout::Layout;
use crate::dashboard::model::{Limits, Model};
use crate::dashboard::state::State;
use crate::dashboard::terminal::Terminal;
use crate::dashboard::view::theme::Theme;
use crate::dashboard::view::{Progress, Scene, draw};
use crate::time::{Clock, Timestamp};

/// Frames are at least so far apart: 22 in a second.
const FRAME: Duration = Duration::from_millis(45);

/// What depends on the clock is drawn so often, when nothing else changes.
const TICK: Duration = Duration::from_secs(1);

/// What is shown, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The panels, if they are not one for each metric.
    pub layout: Option<Layout>,
    /// The name of the input.
    pub input: String,
    /// Whether more may come at any time, so that the clock matters.
    pub is_live: bool,
    /// The looks.
    pub theme: Theme,
}

/// How the dashboard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The user had seen enough.
    Quit,
    /// A signal asked for it.
    Signal(i32),
}

/// Why the dashboard could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The terminal does not do what is needed.
    #[error("cannot use the terminal")]
    Terminal(#[source] std::io::Error),
    /// No thread could be started, or no signal listened to.
    #[error("cannot start a thread of the dashboard")]
    Thread(#[source] std::io::Error),
    /// The input broke before its end.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl Settings {
    /// Knows nothing yet, and which columns its layout makes groups.
    pub fn model(&self) -> Model {
        let groups = self.layout.as_ref().map_or_else(BTreeMap::new, Layout::groups);
        Model::new(Limits::default(), groups)
    }
}

/// What comes from the threads beside lines.
#[derive(Debug)]
enum Event {
    Terminal(TerminalEvent),
    Signal(i32),
    /// Keys can't be read any more.
    NoTerminal,
}

/// Shows what `feed` gives until the user quits or a signal comes. What broke the feed is an error once the user has quit.
pub fn run(settings: &Settings, feed: impl Feed + 'static, clock: &dyn Clock) -> Result<End, RunError> {
    let inbox: Arc<Inbox<Event>> = Arc::default();
    listen(&inbox)?;
    let mut terminal = Terminal::take(settings.theme.has_colour).map_err(RunError::Terminal)?;
    read_keys(&inbox)?;
    read_lines(&inbox, feed)?;
    let mut dashboard = Dashboard {
        settings,
        model: settings.model(),
        held: None,
        state: State::default(),
        shown: Shown::default(),
        progress: if settings.is_live { Progress::Live } else { Progress::Recorded },
        error: None,
    };
    let mut drawn_at: Option<Instant> = None;
    let mut is_changed = true;
    loop {
        if is_changed && drawn_at.is_none_or(|at| at.elapsed() >= FRAME) {
            dashboard.draw(&mut terminal, clock).map_err(RunError::Terminal)?;
            drawn_at = Some(Instant::now());
            is_changed = false;
        }
        let next_frame = drawn_at.map(|at| at + FRAME);
        let deadline = if is_changed { next_frame } else { dashboard.next_tick(drawn_at) };
        let received = inbox.wait(deadline, !is_changed && dashboard.held.is_none());
        // A tick: what depends on the clock has changed.
        is_changed |= received.events.is_empty() && received.batches.is_empty();
        for event in received.events {
            match dashboard.take(event, &mut terminal)? {
                Next::Unchanged => {}
                Next::Changed => {
                    is_changed = true;
                    // Keys are answered at once.
                    drawn_at = None;
                }
                Next::End(End::Quit) => return dashboard.error.map_or(Ok(End::Quit), |error| Err(error.into())),
                Next::End(end) => return Ok(end),
            }
        }
        for batch in received.batches {
            is_changed = true;
            batch.lines.iter().for_each(|line| dashboard.model.apply(line, batch.arrival));
        }
        if let Some(end) = received.end {
            dashboard.progress = Progress::Ended;
            dashboard.error = end.err();
            is_changed = true;
        }
    }
}

enum Next {
    Unchanged,
    Changed,
    End(End),
}

struct Dashboard<'a> {
    settings: &'a Settings,
    model: Model,
    /// The model as it was when the picture was held.
    held: Option<Model>,
    state: State,
    shown: Shown,
    progress: Progress,
    error: Option<FeedError>,
}

impl Dashboard<'_> {
    fn draw(&mut self, terminal: &mut Terminal, clock: &dyn Clock) -> std::io::Result<()> {
        let error = self.error.as_ref().map(|error| said(error));
        let scene = Scene {
            model: self.held.as_ref().unwrap_or(&self.model),
            state: &self.state,
            layout: self.settings.layout.as_ref(),
            input: &self.settings.input,
            progress: self.progress,
            error: error.as_deref(),
            rows_now: self.model.stream.rows,
            now: self.now(clock),
            theme: self.settings.theme,
        };
        self.shown = terminal.screen.draw(|buffer| draw(&scene, buffer))?;
        // Moving on from a selection that lies behind the end must be seen at the first key.
        self.state.panel = self.state.panel.min(self.shown.panels.saturating_sub(1));
        Ok(())
    }

    /// The clock, as long as it matters.
    fn now(&self, clock: &dyn Clock) -> Option<Timestamp> {
        (self.progress == Progress::Live && self.held.is_none()).then(|| clock.now())
    }

    /// When to draw again if nothing comes: never once there is nothing more to come.
    fn next_tick(&self, drawn_at: Option<Instant>) -> Option<Instant> {
        (self.progress != Progress::Ended).then(|| drawn_at.unwrap_or_else(Instant::now) + TICK)
    }

    fn take(&mut self, event: Event, terminal: &mut Terminal) -> Result<Next, RunError> {
        Ok(match event {
            Event::Signal(SIGTSTP) => {
                terminal.stop().map_err(RunError::Terminal)?;
                Next::Changed
            }
            Event::Signal(SIGCONT) => {
                terminal.take_again().map_err(RunError::Terminal)?;
                Next::Changed
            }
            Event::Signal(signal) => Next::End(End::Signal(signal)),
            Event::NoTerminal => Next::End(End::Quit),
            Event::Terminal(TerminalEvent::Key(key)) => match press(&mut self.state, key, &self.shown) {
                Action::Nothing => Next::Unchanged,
                Action::Quit => Next::End(End::Quit),
                Action::Stop => {
                    // Raw keys make no signal; the whole pipeline is to stop, as it would have. SAFETY: it touches no memory.
                    unsafe { libc::kill(0, SIGTSTP) };
                    Next::Unchanged
                }
                Action::Draw => {
                    match (self.state.is_paused, &self.held) {
                        (true, None) => self.held = Some(self.model.clone()),
                        (false, Some(_)) => self.held = None,
                        _ => {}
                    }
                    Next::Changed
                }
            },
            Event::Terminal(TerminalEvent::Resize(..)) => Next::Changed,
            Event::Terminal(_) => Next::Unchanged,
        })
    }
}

/// Signals into the inbox, on a thread of its own.
fn listen(inbox: &Arc<Inbox<Event>>) -> Result<(), RunError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT]).map_err(RunError::Thread)?;
    let inbox = Arc::clone(inbox);
    spawn("signals", move || signals.forever().for_each(|signal| inbox.event(Event::Signal(signal))))
}

/// Keys and changes of size into the inbox. They come from the terminal, also when stdin is a pipe.
fn read_keys(inbox: &Arc<Inbox<Event>>) -> Result<(), RunError> {
    let inbox = Arc::clone(inbox);
    spawn("keys", move || {
        while let Ok(event) = crossterm::event::read() {
            inbox.event(Event::Terminal(event));
        }
        inbox.event(Event::NoTerminal);
    })
}

/// Lines into the inbox, until the feed ends.
fn read_lines(inbox: &Arc<Inbox<Event>>, mut feed: impl Feed + 'static) -> Result<(), RunError> {
    let inbox = Arc::clone(inbox);
    spawn("lines", move || {
        let end = loop {
            match feed.next() {
                Ok(Some(batch)) => inbox.bring(batch),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        inbox.end(end);
    })
}

/// An error with its causes, in one line.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn spawn(name: &str, job: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(job).map(drop).map_err(RunError::Thread)
}
