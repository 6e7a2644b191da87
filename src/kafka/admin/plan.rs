//! What there is to do until a topic is as it is wanted. Only ever adds: what would take something away is told and left.

use std::collections::BTreeMap;

use crate::kafka::admin::{Admin, Topic, TopicSpec};
use crate::kafka::error::KafkaError;

/// What is done about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// What is done.
    pub change: Change,
    /// What is wanted and can't be done, each with the reason.
    pub left: Vec<String>,
}

/// What is done about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is as it is wanted, but for what is left.
    None,
    /// It is made.
    Create(TopicSpec),
    /// It is there and gets more.
    Alter {
        /// The number of partitions before and after.
        partitions: Option<(usize, u32)>,
        /// Settings with the value before, if one was set for the topic, and after.
        settings: BTreeMap<String, (Option<String>, String)>,
    },
}

impl TopicPlan {
    /// What makes `wanted` of what is there. `settings` are those that were set for the topic.
    pub fn new(wanted: &TopicSpec, found: Option<&Topic>, settings: &BTreeMap<String, String>) -> TopicPlan {
        let name = wanted.name.clone();
        let Some(found) = found else {
            return TopicPlan { name, change: Change::Create(wanted.clone()), left: Vec::new() };
        };
        let mut left = Vec::new();
        let (have, want) = (found.partitions.len(), wanted.partitions as usize);
        if have > want {
            left.push(format!("it has {have} partitions, and none is ever taken away"));
        }
        let copies = found.replication();
        if let Some(replication) = wanted.replication.filter(|wanted| *wanted as usize != copies) {
            left.push(format!(
                "its records are kept on {copies} brokers, not on {replication}: moving them is for Kafka's own tools"
            ));
        }
        let settings: BTreeMap<String, (Option<String>, String)> = wanted
            .settings
            .iter()
            .filter(|(name, value)| settings.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), (settings.get(name).cloned(), value.clone())))
            .collect();
        let partitions = (have < want).then_some((have, wanted.partitions));
        let change = match partitions.is_none() && settings.is_empty() {
            true => Change::None,
            false => Change::Alter { partitions, settings },
        };
        TopicPlan { name, change, left }
    }
}

impl Admin {
    /// What there is to do about a topic.
    pub fn plan(&self, wanted: &TopicSpec) -> Result<TopicPlan, KafkaError> {
        let found = self.topic(&wanted.name)?;
        let settings = if found.is_some() { self.topic_settings(&wanted.name)? } else { BTreeMap::new() };
        Ok(TopicPlan::new(wanted, found.as_ref(), &settings))
    }

    /// Does it.
    pub fn carry_out(&self, plan: &TopicPlan) -> Result<(), KafkaError> {
        match &plan.change {
            Change::None => Ok(()),
            Change::Create(spec) => self.create_topic(spec),
            Change::Alter { partitions, settings } => {
                if let Some((_, count)) = partitions {
                    self.grow_topic(&plan.name, *count)?;
                }
                if settings.is_empty() {
                    return Ok(());
                }
                let settings = settings.iter().map(|(name, (_, value))| (name.clone(), value.clone()));
                self.set_topic(&plan.name, &settings.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::admin::TopicPartition;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn wanted(partitions: u32, replication: Option<u32>, pairs: &[(&str, &str)]) -> TopicSpec {
        TopicSpec { name: "t".into(), partitions, replication, settings: settings(pairs) }
    }

    /// Of a topic with three partitions on two brokers and `retention.ms=1`.
    fn check(wanted: TopicSpec, change: Change, left: &[&str]) {
        let one = |partition| TopicPartition { partition, leader: Some(1), replicas: vec![1, 2], in_sync: vec![1] };
        let found = Topic { name: "t".into(), partitions: (0..3).map(one).collect() };
        let plan = TopicPlan::new(&wanted, Some(&found), &settings(&[("retention.ms", "1")]));
        assert_eq!(
            (plan.change, plan.left),
            (change, left.iter().map(|left| (*left).into()).collect()),
            "of {wanted:?}"
        );
    }

    #[test]
    fn what_is_missing_is_made() {
        let spec = wanted(3, None, &[("a", "b")]);
        let plan = TopicPlan::new(&spec, None, &BTreeMap::new());
        assert_eq!(plan, TopicPlan { name: "t".into(), change: Change::Create(spec), left: Vec::new() });
    }

    #[test]
    fn what_is_as_wanted_is_left_alone() {
        check(wanted(3, None, &[]), Change::None, &[]);
        check(wanted(3, Some(2), &[("retention.ms", "1")]), Change::None, &[]);
    }

    #[test]
    fn partitions_are_added_and_settings_set() {
        check(wanted(5, None, &[]), Change::Alter { partitions: Some((3, 5)), settings: BTreeMap::new() }, &[]);
        let changed = BTreeMap::from([
            ("a".to_owned(), (None, "b".to_owned())),
            ("retention.ms".to_owned(), (Some("1".to_owned()), "2".to_owned())),
        ]);
        let spec = wanted(3, None, &[("a", "b"), ("retention.ms", "2")]);
        check(spec, Change::Alter { partitions: None, settings: changed }, &[]);
    }

    #[test]
    fn nothing_is_taken_away() {
        check(wanted(2, None, &[]), Change::None, &["it has 3 partitions, and none is ever taken away"]);
        let moving = "its records are kept on 2 brokers, not on 1: moving them is for Kafka's own tools";
        check(wanted(3, Some(1), &[]), Change::None, &[moving]);
    }
}
