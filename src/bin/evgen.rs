//! Generates realistic synthetic events. See `evkit::cli::evgen`.

fn main() -> std::process::ExitCode {
    evkit::cli::evgen::main(std::env::args_os())
}
