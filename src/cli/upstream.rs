//! What it means for whoever called the program that events did not reach their topic.

use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::kafka::meaning;
use crate::dashboard::feed::FeedError;
use crate::dashboard::run::RunError;
use crate::kafka::error::KafkaError;
use crate::kafka::producer::ProduceError;
use crate::kafka::transaction::TransactionError;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::delivery::DeliveryError;
use crate::pipeline::ingest::error::IngestError;
use crate::sink::SinkError;
use crate::source::SourceError;

/// Adds hint and exit code to an error that has a cluster at its bottom and was not explained yet; others stay as they are.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let found = match error.downcast_ref::<IngestError>() {
        Some(IngestError::Delivery(DeliveryError::Produce(error))) => Some(of_produce(error)),
        Some(IngestError::Delivery(DeliveryError::Transaction(TransactionError::Kafka(error)))) => Some(meaning(error)),
        Some(IngestError::Delivery(DeliveryError::Archive(error))) => Some(crate::cli::archive::meaning_of(error)),
        Some(IngestError::Delivery(DeliveryError::Positions(_))) => Some((None, ExitCode::Usage)),
        Some(IngestError::Delivery(DeliveryError::Sink(error)) | IngestError::Sink(error)) => of_sink(error),
        Some(IngestError::Lost { .. }) => {
            Some((Some("what was committed stays: run the same again, and it goes on from there"), ExitCode::Upstream))
        }
        Some(_) => None,
        None => of_pipeline(&error),
    };
    let Some((hint, code)) = found else { return error };
    error_of(Err(error).hint_if(hint).exit_code(code))
}

type Meaning = (Option<&'static str>, ExitCode);

/// What an error of a program that reads or writes a topic beside others means, if a cluster is at its bottom.
fn of_pipeline(error: &anyhow::Error) -> Option<Meaning> {
    let of_feed = |error: &FeedError| match error {
        FeedError::Source(error) => of_source(error),
        FeedError::Store(_) => None,
    };
    match (error.downcast_ref::<PipelineError>(), error.downcast_ref::<RunError>()) {
        (Some(PipelineError::Sink(error)), _) => of_sink(error),
        (Some(PipelineError::Source(error)), _) => of_source(error),
        (_, Some(RunError::Feed(error))) => of_feed(error),
        _ => error.downcast_ref().and_then(of_sink).or_else(|| error.downcast_ref().and_then(of_source)),
    }
}

fn of_sink(error: &SinkError) -> Option<Meaning> {
    match error {
        SinkError::Upstream { source } => source.downcast_ref().map(|error: &ProduceError| match of_produce(error) {
            (Some(_), code) => (Some("some of these may have arrived, and what is written again is there twice"), code),
            meaning => meaning,
        }),
        _ => None,
    }
}

fn of_source(error: &SourceError) -> Option<Meaning> {
    match error {
        SourceError::Topic { is_unavailable: true, .. } => Some((None, ExitCode::Upstream)),
        _ => None,
    }
}

fn of_produce(error: &ProduceError) -> (Option<&'static str>, ExitCode) {
    match error {
        ProduceError::Kafka(error) => match error {
            // It was there at the start.
            KafkaError::Unavailable { .. } => (None, ExitCode::Upstream),
            error => meaning(error),
        },
        ProduceError::Unacknowledged { is_unavailable, .. } => {
            let hint = "some of these may have arrived: over files, --transactional-id lets a run go on and adds nothing twice";
            (Some(hint), if *is_unavailable { ExitCode::Upstream } else { ExitCode::Failure })
        }
    }
}
