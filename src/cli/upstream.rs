//! What an error of a server means for whoever called the program: the exit code, and what can be done.

use crate::cli::exit::{ExitCode, ReportContext};
use crate::kafka::error::KafkaError;
use crate::kafka::producer::ProduceError;

/// Adds the exit code and the hint to an error that has a server at its bottom; others stay as they are.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let found = error.chain().find_map(|cause| {
        let produce = cause.downcast_ref::<ProduceError>().map(of_produce);
        produce.or_else(|| cause.downcast_ref::<KafkaError>().map(of_kafka))
    });
    let Some((code, hint)) = found else { return error };
    match Err::<std::convert::Infallible, _>(error).hint_if(hint).exit_code(code) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn of_produce(error: &ProduceError) -> (ExitCode, Option<&'static str>) {
    match error {
        ProduceError::Kafka(error) => of_kafka(error),
        ProduceError::Unacknowledged { is_unavailable, .. } => {
            let hint = "some of these may have arrived: to run again over files and add nothing twice, use --transactional-id";
            (if *is_unavailable { ExitCode::Upstream } else { ExitCode::Failure }, Some(hint))
        }
    }
}

fn of_kafka(error: &KafkaError) -> (ExitCode, Option<&'static str>) {
    match error {
        KafkaError::Unavailable { .. } => (ExitCode::Upstream, Some("is a broker running there? --startup-timeout waits longer for it")),
        KafkaError::NoTopic { .. } => (ExitCode::Failure, Some("make it first: evingest topics apply")),
        KafkaError::Fenced { .. } => (ExitCode::Fenced, None),
        KafkaError::Property { .. } => (ExitCode::Usage, None),
        _ => (ExitCode::Failure, None),
    }
}
