//! What it means for whoever called the program that events did not reach their topic.

use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::kafka::meaning;
use crate::kafka::error::KafkaError;
use crate::kafka::producer::ProduceError;

/// Adds hint and exit code to an error that has a cluster at its bottom; others stay as they are.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let found = error.chain().find_map(|cause| match cause.downcast_ref::<ProduceError>() {
        Some(ProduceError::Kafka(error)) => Some(meaning(error)),
        Some(ProduceError::Unacknowledged { is_unavailable, .. }) => {
            let hint = "some of these may have arrived: over files, --transactional-id lets a run go on and adds nothing twice";
            Some((Some(hint), if *is_unavailable { ExitCode::Upstream } else { ExitCode::Failure }))
        }
        None => cause.downcast_ref::<KafkaError>().map(meaning),
    });
    let Some((hint, code)) = found else { return error };
    match Err::<std::convert::Infallible, _>(error).hint_if(hint).exit_code(code) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}
