//! The terminal: taken over for frames, and given back on every way out, a panic's too.
//!
//! Frames are drawn by what differs from the one before. ratatui's own `Terminal` asks the terminal for its cursor when it is
//! resized, and the answer would come between the keys; so the few lines of it that are needed stand here. Knows nothing of
//! what is drawn.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::style::ResetColor;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::{Backend, ClearType, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Whether the terminal is ours at this moment.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// A surface that frames are drawn on.
pub struct Screen<B> {
    backend: B,
    shown: Buffer,
}

impl<B: Backend> Screen<B> {
    /// A surface of which nothing is known.
    pub fn new(backend: B) -> Screen<B> {
        Screen { backend, shown: Buffer::empty(Rect::ZERO) }
    }

    /// Forgets what is shown: the next frame is drawn whole.
    pub fn forget(&mut self) {
        self.shown = Buffer::empty(Rect::ZERO);
    }

    /// Draws a frame of the surface's size as it is now.
    pub fn draw<T>(&mut self, draw: impl FnOnce(&mut Buffer) -> T) -> Result<T, B::Error> {
        let area = Rect::from((ratatui::layout::Position::ORIGIN, self.backend.size()?));
        if self.shown.area != area {
            self.backend.clear_region(ClearType::All)?;
            self.shown = Buffer::empty(area);
        }
        let mut next = Buffer::empty(area);
        let drawn = draw(&mut next);
        let changes = self.shown.diff(&next);
        if !changes.is_empty() {
            self.backend.draw(changes.into_iter())?;
            self.backend.flush()?;
        }
        self.shown = next;
        Ok(drawn)
    }

    /// What it is drawn on.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// The terminal that the program runs in; given back when this is dropped.
pub struct Terminal {
    /// Frames go here.
    pub screen: Screen<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Terminal {
    /// Takes the terminal over: raw keys, a screen of its own, no cursor. From now on a panic, in any thread, gives it back and
    /// ends the program.
    pub fn take(has_colour: bool) -> io::Result<Terminal> {
        give_back_on_panic();
        // It was decided already whether there are colours; crossterm would look at NO_COLOR once more.
        crossterm::style::force_color_output(has_colour);
        let screen = Screen::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())));
        // If it can be taken by half only, that half is given back.
        let terminal = Terminal { screen };
        take()?;
        Ok(terminal)
    }

    /// Gives the terminal back, stops the process as SIGTSTP does where nobody handles it, and takes the terminal again once
    /// somebody lets it go on.
    pub fn stop(&mut self) -> io::Result<()> {
        give_back();
        stop_by_default()?;
        self.take_again()
    }

    /// Takes it over once more: it may have any size and content now.
    pub fn take_again(&mut self) -> io::Result<()> {
        give_back();
        take()?;
        self.screen.forget();
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    IS_OURS.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, if it is ours. What fails has nobody to be told.
fn give_back() {
    if IS_OURS.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), ResetColor, Show, LeaveAlternateScreen);
        let _ = io::stdout().flush();
        let _ = disable_raw_mode();
    }
}

/// Not by SIGSTOP: where no shell could let the process go on, SIGTSTP does nothing, as it should.
fn stop_by_default() -> io::Result<()> {
    // SAFETY: both actions are whole values of ours; the handler that is put back is the one that was there.
    let is_done = unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        let mut handled: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGTSTP, &default, &mut handled) == 0
            && libc::raise(libc::SIGTSTP) == 0
            && libc::sigaction(libc::SIGTSTP, &handled, std::ptr::null_mut()) == 0
    };
    if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let was_ours = IS_OURS.load(Ordering::SeqCst);
            give_back();
            before(panic);
            if was_ours {
                // Whichever thread it was, the others would go on drawing.
                std::process::exit(101);
            }
        }));
    });
}
