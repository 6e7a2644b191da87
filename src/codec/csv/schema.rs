//! Which column of a CSV file is which field of an event, and of which type: the header and `--csv-schema`.
//!
//! Knows nothing of records and of what is wanted.

use crate::batch::slot_bytes;
use crate::codec::csv::BYTE_ORDER_MARK;
use crate::codec::csv::field::FieldType;
use crate::codec::csv::records::{next_record, split};
use crate::event::Path;

/// A header or schema that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// An entry of the schema has no column name or no path.
    #[error(
        "cannot read '{entry}' of the CSV schema\nwrite entries as 'column:type=path', such as 'amount:float=properties.amount'"
    )]
    Entry {
        /// The entry.
        entry: String,
    },
    /// An entry of the schema has an unknown type.
    #[error(
        "'{name}' in '{entry}' of the CSV schema is no type\nuse one of 'auto', 'text', 'int', 'float', 'bool' and 'time'"
    )]
    Type {
        /// The type's name.
        name: String,
        /// The entry.
        entry: String,
    },
    /// The schema names a column that the input has not, or names it twice.
    #[error("the CSV schema's column '{column}' {trouble}\nthe columns are: {columns}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        trouble: &'static str,
        /// The header.
        columns: String,
    },
    /// Two columns are the same field.
    #[error("two columns of the CSV input are the field '{field}'\ngive one of them another path in the CSV schema")]
    Twice {
        /// The field.
        field: String,
    },
    /// No column holds the event's time.
    #[error("no column of the CSV input is the time field '{field}'\nthe columns are: {columns}")]
    NoTime {
        /// The field.
        field: String,
        /// The header.
        columns: String,
    },
    /// The header is not UTF-8, or has a quote that nothing closes.
    #[error("cannot read the CSV header: {reason}")]
    Header {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The names of an input's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// In the order of the fields.
    pub names: Vec<Box<str>>,
}

impl Header {
    /// Reads the header from the beginning of an input, in which its first record that is not blank must be complete.
    /// `None` if there is none.
    pub fn read(bytes: &[u8]) -> Result<Option<Header>, SchemaError> {
        let mut at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        while at < bytes.len() {
            let record = next_record(bytes, at);
            if record.content(bytes, at).is_empty() {
                at = record.next;
                continue;
            }
            if !record.closed {
                return Err(SchemaError::Header { reason: "a quoted name is not closed" });
            }
            let (mut fields, mut anew) = (Vec::new(), Vec::new());
            split(bytes, at, record.end, &mut fields, &mut anew);
            let text = [bytes, &anew].concat();
            let names = fields.iter().map(|field| std::str::from_utf8(slot_bytes(&text, field.slot)));
            let names: Result<Vec<Box<str>>, _> = names.map(|name| name.map(Into::into)).collect();
            return match names {
                Ok(names) => Ok(Some(Header { names })),
                Err(_) => Err(SchemaError::Header { reason: "it is not UTF-8" }),
            };
        }
        Ok(None)
    }
}

/// What `--csv-schema` says of columns. Those that it does not name have the type `auto`, and their names are their
/// paths, dots leading into objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    column: String,
    field_type: FieldType,
    path: Path,
}

/// A column as a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldOf {
    pub path: Path,
    pub field_type: FieldType,
}

impl std::str::FromStr for Schema {
    type Err = SchemaError;

    /// Reads entries `column[:type][=path]`, separated by commas: `amount:float=properties.amount, user:text=user_id`.
    fn from_str(text: &str) -> Result<Schema, SchemaError> {
        let entries = text.split(',').map(|entry| read_entry(entry.trim())).collect::<Result<_, _>>()?;
        Ok(Schema { entries })
    }
}

impl Schema {
    /// Takes the columns that are one of these fields as texts, unless the schema gives them another type: an id of digits is no
    /// number.
    pub fn with_texts(mut self, header: &Header, fields: &[Path]) -> Schema {
        let is_open = |entry: &&mut Entry| entry.field_type == FieldType::Auto && fields.contains(&entry.path);
        self.entries.iter_mut().filter(is_open).for_each(|entry| entry.field_type = FieldType::Text);
        for name in &header.names {
            let path = path_of(name);
            let is_named = self.entries.iter().any(|entry| *entry.column == **name);
            if fields.contains(&path) && !is_named {
                self.entries.push(Entry { column: name.to_string(), field_type: FieldType::Text, path });
            }
        }
        self
    }

    /// The paths of an input's columns, in their order.
    pub fn paths(&self, header: &Header) -> Result<Vec<Path>, SchemaError> {
        Ok(self.apply(header)?.into_iter().map(|field| field.path).collect())
    }

    /// The field of each column of an input.
    pub(crate) fn apply(&self, header: &Header) -> Result<Vec<FieldOf>, SchemaError> {
        let mut fields: Vec<FieldOf> =
            header.names.iter().map(|name| FieldOf { path: path_of(name), field_type: FieldType::Auto }).collect();
        let mut named = vec![false; fields.len()];
        for entry in &self.entries {
            let trouble = |trouble| {
                let columns = header.names.join(", ");
                SchemaError::Column { column: entry.column.clone(), trouble, columns }
            };
            let place = header.names.iter().position(|name| **name == *entry.column);
            let place = place.ok_or_else(|| trouble("is not in the input"))?;
            if std::mem::replace(&mut named[place], true) {
                return Err(trouble("is named twice"));
            }
            fields[place] = FieldOf { path: entry.path.clone(), field_type: entry.field_type };
        }
        for (place, field) in fields.iter().enumerate() {
            if fields[..place].iter().any(|before| before.path == field.path) {
                return Err(SchemaError::Twice { field: field.path.to_string() });
            }
        }
        Ok(fields)
    }
}

fn read_entry(entry: &str) -> Result<Entry, SchemaError> {
    let (column, path) = match entry.split_once('=') {
        Some((column, path)) => (column.trim(), Some(path.trim())),
        None => (entry, None),
    };
    let (column, type_name) = match column.split_once(':') {
        Some((column, type_name)) => (column.trim(), type_name.trim()),
        None => (column, "auto"),
    };
    let path = path.unwrap_or(column);
    if column.is_empty() || path.split('.').any(str::is_empty) {
        return Err(SchemaError::Entry { entry: entry.to_owned() });
    }
    let field_type = FieldType::of_name(type_name)
        .ok_or_else(|| SchemaError::Type { name: type_name.to_owned(), entry: entry.to_owned() })?;
    Ok(Entry { column: column.to_owned(), field_type, path: path_of(path) })
}

fn path_of(name: &str) -> Path {
    Path::of_keys(&name.split('.').collect::<Vec<_>>())
}
