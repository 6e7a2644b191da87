//! What goes wrong with Kafka, told by what it means for us: the way out depends on that and not on a code's name.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

/// Why something could not be done with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A property that is unknown or has a value that can't be.
    #[error("cannot set the Kafka property '{property}' to '{value}': {cause}")]
    Property {
        /// Its name.
        property: String,
        /// The value; of a secret, a row of asterisks.
        value: String,
        /// What is wrong.
        cause: String,
    },
    /// No broker answers, or one that answers refuses us, in spite of retries.
    #[error("cannot {attempted} at '{brokers}': {cause}")]
    Unavailable {
        /// What was attempted.
        attempted: String,
        /// The brokers.
        brokers: String,
        /// The client's words.
        cause: String,
    },
    /// A topic that isn't there.
    #[error("cannot {attempted}: there is no topic '{topic}' at '{brokers}'")]
    NoTopic {
        /// What was attempted.
        attempted: &'static str,
        /// The topic.
        topic: String,
        /// The brokers.
        brokers: String,
    },
    /// Another process goes by our name now.
    #[error("cannot go on as '{name}': another process took that name")]
    Fenced {
        /// The instance or transactional id.
        name: String,
    },
    /// Anything else that the client or a broker says.
    #[error("cannot {attempted}: {cause}")]
    Client {
        /// What was attempted.
        attempted: String,
        /// The client's words.
        cause: String,
    },
}

impl KafkaError {
    /// Of an error of the client while something was attempted.
    pub fn of(attempted: impl Into<String>, brokers: &str, error: &ClientError) -> KafkaError {
        let (attempted, cause) = (attempted.into(), words(error));
        match is_unavailable(error) {
            true => KafkaError::Unavailable { attempted, brokers: brokers.to_owned(), cause },
            false => KafkaError::Client { attempted, cause },
        }
    }

    /// Whether trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, KafkaError::Unavailable { .. })
    }
}

/// Whether an error says that brokers can't be reached, won't let us in, or don't know yet which of them is in charge.
fn is_unavailable(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Authentication
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::OffsetNotAvailable
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::Resolve
                | Code::SSL
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
        )
    )
}

/// The client's own words, without the name of the wrapper's variant where there is a better one.
pub fn words(error: &ClientError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}
