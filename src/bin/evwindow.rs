//! Windows a stream of events. See `evkit::cli::evwindow`.

fn main() -> std::process::ExitCode {
    evkit::cli::evwindow::main(std::env::args_os())
}
