//! The administration of topics and groups, against a real broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;

use evkit::kafka::admin::assignment::Assigned;
use evkit::kafka::admin::offsets::Ends;
use evkit::kafka::admin::{Admin, TopicSpec};
use evkit::kafka::settings::Settings;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::{PATIENCE, Sent, Topics, client, producer, send, unique};

fn admin(brokers: &str) -> Admin {
    Admin::new(&Settings { brokers: brokers.to_owned(), properties: Vec::new() }, PATIENCE).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_topic_is_made_grown_and_set_up() {
    let Some(brokers) = kafka::brokers("a_topic_is_made_grown_and_set_up") else { return };
    let (admin, mut topics, name) = (admin(&brokers), Topics::new(&brokers), unique("spec"));
    topics.adopt(&name);
    assert_eq!(admin.topic(&name).unwrap(), None);

    let spec = TopicSpec {
        name: name.clone(),
        partitions: 3,
        replication: None,
        settings: settings(&[("retention.ms", "60000")]),
    };
    admin.create_topic(&spec).unwrap();
    let again = admin.create_topic(&spec).unwrap_err().to_string();
    assert!(again.starts_with(&format!("cannot create the topic '{name}': ")), "{again}");
    let topic = admin.topic(&name).unwrap().unwrap();
    assert_eq!(topic.partitions.iter().map(|partition| partition.partition).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(topic.replication(), 1);
    assert!(admin.topics().unwrap().contains(&topic));

    admin.grow_topic(&name, 5).unwrap();
    assert_eq!(admin.topic(&name).unwrap().unwrap().partitions.len(), 5);
    let shrunk = admin.grow_topic(&name, 4).unwrap_err().to_string();
    assert!(shrunk.starts_with(&format!("cannot give the topic '{name}' 4 partitions: ")), "{shrunk}");

    admin.set_topic(&name, &settings(&[("cleanup.policy", "compact")])).unwrap();
    let expected = settings(&[("cleanup.policy", "compact"), ("retention.ms", "60000")]);
    assert_eq!(admin.topic_settings(&name).unwrap(), expected);
    let refused = admin.set_topic(&name, &settings(&[("retention.ms", "soon")])).unwrap_err().to_string();
    assert_eq!(refused, format!("cannot set up the topic '{name}': the cluster did not take 'retention.ms=soon'"));
}

#[test]
fn ends_tell_what_is_committed_from_what_is_not() {
    let Some(brokers) = kafka::brokers("ends_tell_what_is_committed_from_what_is_not") else { return };
    let (admin, mut topics) = (admin(&brokers), Topics::new(&brokers));
    let topic = topics.create("ends", 2, &[]);
    let sent = Sent { partition: Some(1), payload: Some(b"x"), ..Sent::default() };

    let plain = producer(&brokers, &[]);
    (0..3).for_each(|_| send(&plain, &topic, sent));
    plain.flush(PATIENCE).unwrap();
    let open = producer(&brokers, &[("transactional.id", &unique("open"))]);
    open.begin_transaction().unwrap();
    send(&open, &topic, sent);
    open.flush(PATIENCE).unwrap();
    send(&plain, &topic, sent);
    plain.flush(PATIENCE).unwrap();
    let empty = Ends { partition: 0, low: 0, stable: 0, high: 0 };
    assert_eq!(admin.ends(&topic).unwrap(), [empty, Ends { partition: 1, low: 0, stable: 3, high: 5 }]);

    admin.delete_records(&topic, &[(1, 2)]).unwrap();
    admin.delete_records(&topic, &[(1, 1)]).unwrap();
    assert_eq!(admin.ends(&topic).unwrap()[1], Ends { partition: 1, low: 2, stable: 3, high: 5 });
    open.abort_transaction(PATIENCE).unwrap();

    let missing = admin.ends("test_no_such_topic").unwrap_err().to_string();
    assert!(missing.contains("there is no topic 'test_no_such_topic'"), "{missing}");
}

#[test]
fn a_groups_members_and_offsets_are_read_and_forgotten() {
    let Some(brokers) = kafka::brokers("a_groups_members_and_offsets_are_read_and_forgotten") else { return };
    let (admin, mut topics, group) = (admin(&brokers), Topics::new(&brokers), unique("group"));
    let topic = topics.create("group", 2, &[]);
    let nobody = admin.group(&group).unwrap();
    assert_eq!((nobody.state.as_str(), nobody.members.len()), ("Dead", 0));
    assert_eq!(admin.committed(&group, &topic).unwrap(), []);

    let member = [("group.id", &*group), ("group.instance.id", "one"), ("session.timeout.ms", "10000")];
    let consumer: BaseConsumer = client(&brokers, &member).set("heartbeat.interval.ms", "200").create().unwrap();
    consumer.subscribe(&[&topic]).unwrap();
    while consumer.assignment().unwrap().count() < 2 {
        assert!(consumer.poll(PATIENCE / 60).is_none(), "the topic is empty");
    }
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 1, Offset::Offset(7)).unwrap();
    offsets.find_partition(&topic, 1).unwrap().set_metadata(r#"{"v":1}"#);
    consumer.commit(&offsets, CommitMode::Sync).unwrap();

    let known = admin.group(&group).unwrap();
    assert_eq!(known.state, "Stable");
    let [member] = &known.members[..] else { panic!("one member, not {:?}", known.members) };
    assert!(member.id.starts_with("one-"), "{member:?}");
    assert_eq!(member.assigned, [Assigned { topic: topic.clone(), partitions: vec![0, 1] }]);
    let committed = admin.committed(&group, &topic).unwrap();
    assert_eq!(committed, admin.committed_everywhere(&group).unwrap());
    let [one] = &committed[..] else { panic!("one offset, not {committed:?}") };
    assert_eq!((one.partition, one.offset, one.metadata.as_str()), (1, 7, r#"{"v":1}"#));

    let busy = admin.delete_group(&group).unwrap_err().to_string();
    assert!(busy.starts_with(&format!("cannot delete the offsets of the group '{group}': ")), "{busy}");
    // A static member stays when its consumer ends, until its session is over.
    drop(consumer);
    let deadline = std::time::Instant::now() + PATIENCE;
    while admin.delete_group(&group).is_err() {
        assert!(std::time::Instant::now() < deadline, "the group '{group}' never became empty");
        std::thread::sleep(PATIENCE / 600);
    }
    assert_eq!(admin.committed(&group, &topic).unwrap(), []);
    admin.delete_group(&group).unwrap();
}

#[test]
fn a_broker_that_is_away_is_said_to_be() {
    let away = "127.0.0.1:1";
    let settings = Settings { brokers: away.to_owned(), properties: Vec::new() };
    let error = Admin::new(&settings, std::time::Duration::from_millis(300)).unwrap().topics().unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().starts_with("cannot list topics at '127.0.0.1:1': "), "{error}");
}
