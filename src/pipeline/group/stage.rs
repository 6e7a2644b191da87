//! What both stages share: a transaction that is opened anew when it was lost, and records that go with it.
//!
//! Knows nothing of what is written.

use std::time::Duration;

use crate::kafka::error::KafkaError;
use crate::kafka::settings::Settings;
use crate::kafka::transaction::{Outgoing, Transaction, TransactionError};
use crate::pipeline::group::{Edges, GroupError, PATIENCE};

/// After so many transactions lost one after the other the next is not tried: what spoils them is not going to pass.
const LOST_MAX: u32 = 6;

/// The transactions of one stage.
pub struct Stage {
    stage: &'static str,
    /// The transactional id.
    name: String,
    transaction: Option<Transaction>,
    /// Records that go with the next commit.
    kept: Vec<Keeping>,
    patience: Duration,
    /// Transactions that were lost since one was committed.
    lost: u32,
}

/// A record that goes with the next commit.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Its topic.
    pub topic: String,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Stage {
    /// Ends what an earlier process of this name has left open.
    pub fn open(
        settings: &Settings,
        (stage, name): (&'static str, &str),
        patience: Duration,
    ) -> Result<Stage, GroupError> {
        let transaction = Transaction::open(settings, name, patience)?;
        let (name, kept) = (name.to_owned(), Vec::new());
        Ok(Stage { stage, name, transaction: Some(transaction), kept, patience, lost: 0 })
    }

    /// The transaction to write to.
    pub fn transaction(&mut self) -> &mut Transaction {
        self.transaction.as_mut().expect("a transaction that was lost is opened anew before it is used")
    }

    /// Puts a record aside for the next commit.
    pub fn keep(&mut self, record: Keeping) {
        self.kept.push(record);
    }

    /// Writes what was put aside.
    pub fn send_kept(&mut self) -> Result<(), GroupError> {
        let transaction = self.transaction.as_mut().expect("it is open while it is written to");
        for Keeping { topic, key, value } in self.kept.drain(..) {
            let record = Outgoing { topic: &topic, key: key.as_deref(), value: &value, ..Outgoing::default() };
            transaction.send(&record)?;
        }
        Ok(())
    }

    /// Forgets what was put aside.
    pub fn drop_kept(&mut self) {
        self.kept.clear();
    }

    /// A transaction was committed.
    pub fn settle(&mut self) {
        self.lost = 0;
    }

    /// From now on nothing is waited for long: the process was asked to stop, and what is not committed is done again by others.
    pub fn hurry(&mut self) {
        self.transaction.iter_mut().for_each(Transaction::hurry);
    }

    /// Gives up what was begun, where others own the partitions by now.
    pub fn give_up(&mut self, settings: &Settings) -> Result<(), GroupError> {
        self.kept.clear();
        if let Some(transaction) = self.transaction.take_if(|transaction| transaction.is_open()) {
            transaction.abort();
            self.transaction = Some(Transaction::open(settings, &self.name, self.patience.max(PATIENCE))?);
        }
        Ok(())
    }

    /// Begins the transaction anew, of which nothing is wanted any more. What was put aside stays so. `is_replaced` tells whether
    /// another process has our name.
    pub fn renew(
        &mut self,
        settings: &Settings,
        is_replaced: impl Fn() -> Result<bool, KafkaError>,
    ) -> Result<(), GroupError> {
        if is_replaced()? {
            return Err(KafkaError::Fenced { name: self.name.clone() }.into());
        }
        if let Some(transaction) = self.transaction.take() {
            transaction.abort();
        }
        self.transaction = Some(Transaction::open(settings, &self.name, self.patience.max(PATIENCE))?);
        Ok(())
    }

    /// Opens the transaction anew after it was lost. A broker that says another producer has our name says the same of one of ours that ran
    /// out of time: `is_replaced` tells whether another process has it.
    pub fn reopen(
        &mut self,
        settings: &Settings,
        error: TransactionError,
        edges: &Edges,
        is_replaced: impl Fn() -> Result<bool, KafkaError>,
    ) -> Result<(), GroupError> {
        let cause = match error {
            TransactionError::Kafka(error) => return Err(error.into()),
            TransactionError::Lost { cause, .. } => cause,
        };
        // To open it anew would end the other's transaction, which has the name by right.
        if is_replaced()? {
            return Err(KafkaError::Fenced { name: self.name.clone() }.into());
        }
        self.lost += 1;
        if self.lost >= LOST_MAX {
            return Err(GroupError::Stuck { lost: self.lost, cause });
        }
        edges.say_once(&format!("a transaction was lost, going on from the last one: {cause}"));
        self.kept.clear();
        if let Some(transaction) = self.transaction.take() {
            transaction.abort();
        }
        self.transaction = Some(Transaction::open(settings, &self.name, self.patience.max(PATIENCE))?);
        edges.count_lost(self.stage);
        Ok(())
    }
}
