//! Tells groups apart that would share a series: tags are texts, so 1 and "1" are one, as are NULL and a column left out.
//!
//! Only groups that may meet another are remembered, so many at most. Knows nothing of points.

use hashbrown::HashMap;

use crate::value::Value;

/// Groups remembered. Beyond them all are forgotten, and remembered anew as they come.
const GROUPS_MAX: usize = 1 << 20;

/// The groups whose tags could be another's, by their series.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    groups: HashMap<u64, u64>,
}

impl Tags {
    /// Whether the series of this name is that of another group, which came first. `key` tells groups apart.
    pub fn is_taken(&mut self, groups: &[Value], series: &[u8], key: &[u8]) -> bool {
        if groups.iter().all(is_unmistakable) {
            return false;
        }
        let hash = rapidhash::v3::rapidhash_v3;
        if self.groups.len() >= GROUPS_MAX {
            self.groups.clear();
        }
        let key = hash(key);
        *self.groups.entry(hash(series)).or_insert(key) != key
    }
}

/// Whether no other value is written the same way as a tag.
fn is_unmistakable(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => {
            // What other types are written like, what the protocol can't tell from something else, and the empty text.
            let begins = text.bytes().next();
            let is_like_json = begins.is_none_or(|first| b"-0123456789{[(tf".contains(&first));
            !is_like_json && !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::line_protocol::MetricKeys;
    use crate::metric::MetricSchema;
    use crate::window::key::key_of;

    #[test]
    fn groups_that_are_written_alike_are_told_apart() {
        let text = |text: &str| Value::Text(text.into());
        let pairs = [
            (Value::Int(1), text("1")),
            (Value::Float(0.5), text("0.5")),
            (Value::Bool(true), text("true")),
            (text("(empty)"), text("")),
            (text("a\nb"), text("a\\nb")),
            (text("a\\"), text("a\\\\ ")),
            (Value::Json("[1]".into()), text("[1]")),
            (Value::Time(crate::time::Timestamp(0)), text("1970-01-01T00:00:00.000Z")),
        ];
        let schema =
            MetricSchema { name: "m".into(), groups: vec!["g".into()], aggregates: vec!["n".into()], ranked: false };
        let keys = MetricKeys::new(&schema, &[true]);
        for (first, other) in pairs {
            for (first, other) in [(&first, &other), (&other, &first)] {
                let series = |value: &Value| {
                    let mut out = Vec::new();
                    keys.push_series(std::slice::from_ref(value), &mut Vec::new(), &mut out);
                    out
                };
                let mut tags = Tags::default();
                let mut is_taken = |value: &Value| {
                    tags.is_taken(std::slice::from_ref(value), &series(value), &key_of(std::slice::from_ref(value)))
                };
                assert!(!is_taken(first) && !is_taken(first), "{first:?}");
                let is_alike = series(first) == series(other);
                assert_eq!(is_taken(other), is_alike, "{first:?} and {other:?}");
            }
        }
    }

    #[test]
    fn plain_texts_are_not_remembered() {
        let mut tags = Tags::default();
        assert!(!tags.is_taken(&[Value::Text("DE".into()), Value::Null], b"m,g=DE", b"k"));
        assert!(tags.groups.is_empty());
    }
}
