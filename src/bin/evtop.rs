//! Shows a stream of metrics on the terminal. See `evkit::cli::evtop`.

fn main() -> std::process::ExitCode {
    evkit::cli::evtop::main(std::env::args_os())
}
