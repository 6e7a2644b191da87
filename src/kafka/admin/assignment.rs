//! Which partitions a member of a group has, as the consumers' protocol writes it.
//!
//! `version: i16, topics: [name: string, partitions: [i32]], user data`, big-endian, lengths of strings in 16 bits and of lists
//! in 32. Later versions only add behind it.

/// The partitions of one topic that a member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The topic.
    pub topic: String,
    /// The partitions, as the assigner listed them.
    pub partitions: Vec<i32>,
}

/// Reads an assignment; nothing where the bytes are none.
pub fn decode(bytes: &[u8]) -> Option<Vec<Assigned>> {
    let mut rest = bytes;
    let _version: [u8; 2] = take(&mut rest)?;
    let mut assigned = Vec::new();
    for _ in 0..length(&mut rest)? {
        let name_length = u16::from_be_bytes(take(&mut rest)?) as usize;
        let topic = std::str::from_utf8(rest.split_off(..name_length)?).ok()?.to_owned();
        let mut partitions = Vec::new();
        for _ in 0..length(&mut rest)? {
            partitions.push(i32::from_be_bytes(take(&mut rest)?));
        }
        assigned.push(Assigned { topic, partitions });
    }
    Some(assigned)
}

fn length(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(i32::from_be_bytes(take(rest)?)).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<&[(&str, &[i32])]>) {
        let expected = expected.map(|topics| {
            let one = |(topic, partitions): &(&str, &[i32])| Assigned {
                topic: (*topic).into(),
                partitions: partitions.to_vec(),
            };
            topics.iter().map(one).collect::<Vec<_>>()
        });
        assert_eq!(decode(bytes), expected, "of {bytes:?}");
    }

    const TWO: &[u8] = b"\0\x01\0\0\0\x01\0\x03raw\0\0\0\x02\0\0\0\x00\0\0\0\x07\xff\xff\xff\xff";

    #[test]
    fn topics_with_their_partitions() {
        check(TWO, Some(&[("raw", &[0, 7])]));
        check(b"\0\0\0\0\0\0", Some(&[]));
        check(b"\0\0\0\0\0\x02\0\x01a\0\0\0\0\0\x01b\0\0\0\x01\0\0\0\x01", Some(&[("a", &[]), ("b", &[1])]));
    }

    #[test]
    fn what_is_cut_or_no_assignment_is_none() {
        for end in 0..TWO.len() - 4 {
            check(&TWO[..end], None);
        }
        check(b"\0\0\xff\xff\xff\xff", None);
        check(b"\0\0\0\0\0\x01\0\x01\xff\0\0\0\0", None);
    }
}
