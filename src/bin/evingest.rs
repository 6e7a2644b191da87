//! Validates events and hands them on, to Kafka or down a pipe. See `evkit::cli::evingest`.

fn main() -> std::process::ExitCode {
    evkit::cli::evingest::main(std::env::args_os())
}
