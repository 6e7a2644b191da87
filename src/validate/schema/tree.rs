//! A line as the crate `jsonschema` wants to see an event: the traits of its own value representations, over our flat tree.
//!
//! So a line is read once and nothing is allocated for it; only for the words of an error a value tree is made.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node as JsonNode, NodeIdentity, Object, cmp};
use serde_json::{Number, Value};

use crate::batch::Tag;
use crate::codec::ndjson::{Children, Document, Kind, Node, PADDING};
use crate::value::write_json_string;

/// The representation.
pub struct Line;

/// A value of a line.
#[derive(Debug, Clone, Copy)]
pub struct TreeNode<'a>(pub Node<'a>);

/// The members or elements of a value.
#[derive(Debug, Clone, Copy)]
pub struct Within<'a>(Node<'a>);

/// Where a single text becomes a node.
#[derive(Default)]
pub struct TextBuffer {
    bytes: Vec<u8>,
    document: Document,
}

impl Json for Line {
    type Node<'a> = TreeNode<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = TextBuffer;

    // A lookup walks over the members before it, as a pass over all does.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut TextBuffer, string: &str, f: impl FnOnce(TreeNode<'_>) -> T) -> T {
        buffer.bytes.clear();
        write_json_string(string, &mut buffer.bytes);
        buffer.bytes.push(b'\n');
        buffer.bytes.resize(buffer.bytes.len() + PADDING, 0);
        let node = buffer.document.read(&buffer.bytes, 0).expect("a text that was just written is JSON");
        f(TreeNode(node))
    }
}

impl<'a> JsonNode<'a, Line> for TreeNode<'a> {
    type Object = Within<'a>;
    type Array = Within<'a>;
    type Number = Number;

    #[inline]
    fn as_object(&self) -> Option<Within<'a>> {
        (self.0.kind() == Kind::Object).then_some(Within(self.0))
    }

    #[inline]
    fn as_array(&self) -> Option<Within<'a>> {
        (self.0.kind() == Kind::Array).then_some(Within(self.0))
    }

    #[inline]
    fn as_string(&self) -> Option<Cow<'a, str>> {
        (self.0.kind() == Kind::Text).then(|| Cow::Borrowed(self.0.text()))
    }

    #[inline]
    fn as_number(&self) -> Option<Number> {
        number(self.0)
    }

    #[inline]
    fn as_boolean(&self) -> Option<bool> {
        match self.0.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    #[inline]
    fn is_null(&self) -> bool {
        self.0.kind() == Kind::Null
    }

    #[inline]
    fn is_number(&self) -> bool {
        self.0.kind() == Kind::Number
    }

    #[inline]
    fn json_type(&self) -> JsonType {
        match self.0.kind() {
            Kind::Null | Kind::Void => JsonType::Null,
            Kind::False | Kind::True => JsonType::Boolean,
            Kind::Number => JsonType::Number,
            Kind::Text => JsonType::String,
            Kind::Array => JsonType::Array,
            Kind::Object => JsonType::Object,
        }
    }

    #[inline]
    fn string_length(&self) -> Option<u64> {
        // Every character has one byte that continues none.
        (self.0.kind() == Kind::Text).then(|| self.0.text().bytes().filter(|byte| byte & 0xc0 != 0x80).count() as u64)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self.0.kind(), expected) {
            (Kind::Text, Value::String(expected)) => self.0.text() == expected,
            (Kind::Text, _) | (_, Value::String(_)) => false,
            (Kind::Number, Value::Number(_)) => {
                number(self.0).is_some_and(|number| cmp::equal(&Value::Number(number), expected))
            }
            _ => cmp::equal(&self.to_value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(value(self.0))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(self.0.address()))
    }
}

impl<'a> Object<'a, Line> for Within<'a> {
    type Node = TreeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = std::iter::Map<Children<'a>, fn(Node<'a>) -> (&'a str, TreeNode<'a>)>;

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn get(&self, key: &Box<str>) -> Option<TreeNode<'a>> {
        self.0.get(key).map(TreeNode)
    }

    #[inline]
    fn members(&self) -> Self::MembersIter {
        self.0.children().map(|member| (member.key(), TreeNode(member)))
    }
}

impl<'a> Array<'a, Line> for Within<'a> {
    type Node = TreeNode<'a>;
    type ElementsIter = std::iter::Map<Children<'a>, fn(Node<'a>) -> TreeNode<'a>>;

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn elements(&self) -> Self::ElementsIter {
        self.0.children().map(TreeNode)
    }
}

#[inline]
fn number(node: Node<'_>) -> Option<Number> {
    match node.number() {
        (Tag::Int, bits) => Some((bits as i64).into()),
        (Tag::UInt, bits) => Some(bits.into()),
        (Tag::Float, bits) => Number::from_f64(f64::from_bits(bits)),
        _ => None,
    }
}

/// As deep as a document may be, so the stack has room for it.
fn value(node: Node<'_>) -> Value {
    match node.kind() {
        Kind::Null | Kind::Void => Value::Null,
        Kind::False => Value::Bool(false),
        Kind::True => Value::Bool(true),
        Kind::Number => number(node).map_or(Value::Null, Value::Number),
        Kind::Text => Value::String(node.text().to_owned()),
        Kind::Array => node.children().map(value).collect(),
        Kind::Object => Value::Object(node.children().map(|member| (member.key().to_owned(), value(member))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::schema::Schema;

    /// The generator splitmix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % bound as u64) as usize
        }

        fn one<T: Clone>(&mut self, of: &[T]) -> T {
            of[self.below(of.len())].clone()
        }
    }

    fn some_value(random: &mut Random, depth: usize) -> Value {
        let key = |random: &mut Random| random.one(&["a", "b", "é", "properties", "x/y", ""]).to_owned();
        match random.below(if depth == 0 { 5 } else { 7 }) {
            0 => random.one(&[json!(null), json!(true), json!(false)]),
            1 => random.one(&[
                json!(0),
                json!(-1),
                json!(7),
                json!(9007199254740993_u64),
                json!(u64::MAX),
                json!(i64::MIN),
            ]),
            2 => random.one(&[json!(1.0), json!(0.1), json!(-2.5), json!(1e300), json!(3.0000000001)]),
            3 | 4 => {
                json!(random.one(&["", "a", "aa", "\"q\"", "2026-01-01T00:00:00Z", "é\n", "x@y.z", "abcdefghijklmnop"]))
            }
            5 => (0..random.below(4)).map(|_| some_value(random, depth - 1)).collect(),
            _ => Value::Object((0..random.below(5)).map(|_| (key(random), some_value(random, depth - 1))).collect()),
        }
    }

    fn some_schema(random: &mut Random, depth: usize) -> Value {
        let mut schema = serde_json::Map::new();
        for _ in 0..=random.below(3) {
            let inner = |random: &mut Random| if depth == 0 { json!(true) } else { some_schema(random, depth - 1) };
            let (keyword, value) = match random.below(18) {
                0 => (
                    "type",
                    random.one(&[json!("object"), json!("integer"), json!(["string", "null"]), json!("number")]),
                ),
                1 => ("required", random.one(&[json!(["a"]), json!(["a", "b"]), json!(["properties", "é"])])),
                2 => ("minimum", random.one(&[json!(0), json!(-1.5), json!(9007199254740992_u64)])),
                3 => ("exclusiveMaximum", random.one(&[json!(7), json!(1e10)])),
                4 => ("multipleOf", random.one(&[json!(0.1), json!(2), json!(1)])),
                5 => ("minLength", json!(random.below(3))),
                6 => ("maxLength", json!(random.below(4))),
                7 => ("pattern", random.one(&[json!("^a"), json!("\\d+"), json!("é")])),
                8 => ("format", random.one(&[json!("date-time"), json!("email")])),
                9 => ("enum", json!([some_value(random, 1), some_value(random, 1), 1])),
                10 => ("const", some_value(random, 1)),
                11 => ("items", inner(random)),
                12 => ("uniqueItems", json!(true)),
                13 => ("properties", json!({"a": inner(random), "b": inner(random), "x/y": inner(random)})),
                14 => {
                    let inner = inner(random);
                    ("additionalProperties", random.one(&[json!(false), inner]))
                }
                15 => ("anyOf", json!([inner(random), inner(random)])),
                16 => ("propertyNames", json!({"maxLength": 2})),
                _ => ("unevaluatedProperties", json!(false)),
            };
            schema.insert(keyword.to_owned(), value);
        }
        Value::Object(schema)
    }

    /// Random values by random schemas: what the crate says of its own value trees, it says of our lines.
    #[test]
    fn lines_are_judged_as_values_are() {
        for seed in 0..3000 {
            let mut random = Random(seed);
            let schema = some_schema(&mut random, 2);
            let own = Schema::compile(&schema).expect("the schemas are right");
            let options =
                jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
            let theirs = options.build(&schema).expect("the schemas are right");
            let mut document = Document::default();
            for _ in 0..5 {
                let value = some_value(&mut random, 3);
                let mut line = serde_json::to_vec(&value).unwrap();
                line.push(b'\n');
                line.resize(line.len() + PADDING, 0);
                let found = own.judge(document.read(&line, 0).unwrap()).is_ok();
                assert_eq!(found, theirs.is_valid(&value), "seed {seed}: {value} by {schema}");
            }
        }
    }
}
