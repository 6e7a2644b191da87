//! Annotated CSV, as InfluxDB answers questions: tables one behind the other, each with its own columns, read row by row.
//!
//! The server's answer has begun before it is done with the question: what goes wrong then stands in the stream, as a table
//! with a column `error`. Knows nothing of what the columns mean.

use std::io::{self, Read};

use csv::{ErrorKind, ReaderBuilder, StringRecord};

/// Why an answer can't be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// These are no such tables.
    #[error("{0}")]
    Malformed(String),
    /// The server gave up.
    #[error("{0}")]
    Server(String),
}

/// The rows of an answer, of which some columns are wanted.
pub(crate) struct Tables<R> {
    csv: csv::Reader<R>,
    record: StringRecord,
    wanted: &'static [&'static str],
    table: Table,
    /// Whether the next line without `#` names the columns.
    is_head: bool,
}

/// The table that is read.
#[derive(Default)]
struct Table {
    /// Where each wanted column stands.
    places: Vec<Option<usize>>,
    /// What stands for an empty cell of each wanted column.
    defaults: Vec<String>,
    /// What stands for an empty cell, by column.
    annotated: StringRecord,
    columns: usize,
    is_error: bool,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    record: &'a StringRecord,
    table: &'a Table,
}

impl<'a> Row<'a> {
    /// The cell of the wanted column of this number: empty where the table has no such column.
    pub fn get(&self, wanted: usize) -> &'a str {
        let cell = self.table.places[wanted].and_then(|place| self.record.get(place)).unwrap_or_default();
        if cell.is_empty() { &self.table.defaults[wanted] } else { cell }
    }
}

impl<R: Read> Tables<R> {
    /// Reads an answer that has the annotations `datatype` and `default` at least.
    pub fn new(answer: R, wanted: &'static [&'static str]) -> Tables<R> {
        let csv = ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 17).from_reader(answer);
        Tables { csv, record: StringRecord::new(), wanted, table: Table::default(), is_head: true }
    }

    /// The next row; `None` at the end of the answer.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, AnswerError> {
        while self.read()? {
            let first = &self.record[0];
            if first.starts_with('#') {
                self.is_head = true;
                if first == "#default" {
                    self.table.annotated = self.record.clone();
                }
            } else if self.is_head || is_error_head(&self.record) {
                self.table.begin(&self.record, self.wanted);
                self.is_head = false;
            } else if self.table.is_error {
                return Err(AnswerError::Server(error_of(&self.record)));
            } else if self.record.len() != self.table.columns {
                let (found, expected) = (self.record.len(), self.table.columns);
                return Err(AnswerError::Malformed(format!("a row has {found} columns, and its table {expected}")));
            } else {
                return Ok(Some(Row { record: &self.record, table: &self.table }));
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<bool, AnswerError> {
        self.csv.read_record(&mut self.record).map_err(|error| {
            let what = error.to_string();
            match error.into_kind() {
                ErrorKind::Io(error) => AnswerError::Io(error),
                _ => AnswerError::Malformed(what),
            }
        })
    }
}

impl Table {
    fn begin(&mut self, head: &StringRecord, wanted: &[&str]) {
        let place = |name: &&str| head.iter().position(|column| column == *name);
        let default = |place: &Option<usize>| place.and_then(|place| self.annotated.get(place)).unwrap_or_default();
        self.places = wanted.iter().map(place).collect();
        self.defaults = self.places.iter().map(|place| default(place).to_owned()).collect();
        self.columns = head.len();
        self.is_error = is_error_head(head);
        self.annotated.clear();
    }
}

/// Whether a line names the columns of an error: no other table is without a number.
fn is_error_head(head: &StringRecord) -> bool {
    let names = || head.iter().filter(|name| !name.is_empty());
    // Rows are asked, too, and most have more cells.
    head.len() <= 3 && (names().eq(["error", "reference"]) || names().eq(["error"]))
}

/// What the server says: the first cell that is not empty.
fn error_of(record: &StringRecord) -> String {
    record.iter().find(|cell| !cell.is_empty()).unwrap_or("it gives no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &["result", "_value", "series"];

    /// The wanted cells of each row, joined by `|`, and how it ended.
    fn read(text: &str) -> (Vec<String>, Option<String>) {
        let mut tables = Tables::new(text.as_bytes(), WANTED);
        let mut rows = Vec::new();
        loop {
            match tables.next() {
                Ok(Some(row)) => rows.push([0, 1, 2].map(|wanted| row.get(wanted)).join("|")),
                Ok(None) => return (rows, None),
                Err(error) => return (rows, Some(error.to_string())),
            }
        }
    }

    #[track_caller]
    fn check(text: &str, rows: &[&str], error: Option<&str>) {
        assert_eq!(read(text), (rows.iter().map(|row| row.to_string()).collect(), error.map(str::to_owned)));
    }

    #[test]
    fn tables_follow_one_another_each_with_its_columns() {
        check(
            "#datatype,string,long,string,string\r\n#group,false,false,false,true\r\n#default,first,,,\r\n\
             ,result,table,_value,series\r\n,,0,a,AQ\r\n,,0,\"b \"\"q\"\", c\r\nd\",AQ\r\n\r\n\
             #datatype,string,long,string\r\n#group,false,false,false\r\n#default,second,,\r\n\
             ,result,table,_value\r\n,,0,x\r\n",
            &["first|a|AQ", "first|b \"q\", c\r\nd|AQ", "second|x|"],
            None,
        );
    }

    #[test]
    fn an_answer_may_be_empty() {
        check("\r\n", &[], None);
        check("", &[], None);
    }

    #[test]
    fn what_the_server_says_in_the_stream_is_an_error() {
        let table = "#datatype,string,long,string\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,x\r\n\r\n";
        for error in [
            "#datatype,string,long\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,\"no, not so\",897\r\n",
            "#datatype,string,string\r\nerror,reference\r\n\"no, not so\",\r\n",
            "error,reference\r\n\"no, not so\",897\r\n",
            "error\r\n\"no, not so\"\r\n",
        ] {
            check(&format!("{table}{error}"), &["_result|x|"], Some("no, not so"));
            check(error, &[], Some("no, not so"));
        }
    }

    #[test]
    fn rows_of_another_length_and_broken_text_are_errors() {
        let table = "#datatype,string,long,string\r\n#default,_result,,\r\n,result,table,_value\r\n";
        check(&format!("{table},,0\r\n"), &[], Some("a row has 3 columns, and its table 4"));
        let mut tables = Tables::new(&b"#datatype,a\r\n,x\r\n,\xff\r\n"[..], WANTED);
        assert!(matches!(tables.next(), Err(AnswerError::Malformed(_))));
    }
}
