//! Asks the store for metrics. See `evkit::cli::evquery`.

fn main() -> std::process::ExitCode {
    evkit::cli::evquery::main(std::env::args_os())
}
