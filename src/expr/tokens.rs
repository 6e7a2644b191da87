//! From text to tokens in which every path is one word.
//!
//! `sqlparser` reserves many words and reads brackets in many ways. Here it is decided by position alone what is a
//! path: a word where an operand is expected is one, unless SQL's grammar needs it (`CASE WHEN`, `NOT x`, a call). So
//! `timestamp`, `end` or `"order".items[0].user` reach the parser as plain identifiers, whatever its keywords are.
//! Knows nothing of what the operators mean.

use crate::event::{Path, Segment};
use crate::expr::error::{Error, Problem, Span};
use hashbrown::HashMap;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};
use std::sync::Arc;

/// Longer texts are refused: a bound on the depth of the parser's tree, which it frees recursively.
const TOKENS_MAX: usize = 10_000;

/// The few rules of SQL's grammar that products choose freely.
#[derive(Debug)]
pub struct EventSql;

impl Dialect for EventSql {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_' || c == '@'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_' || c == '@' || c == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
}

/// A text as tokens.
pub struct Tokens {
    /// The text, for errors.
    pub source: Source,
    /// The tokens without white space.
    pub tokens: Vec<TokenWithSpan>,
    /// Each path by the word that stands for it.
    pub paths: HashMap<String, Path>,
}

/// The text, and where its lines begin.
pub struct Source {
    text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    fn new(text: &str) -> Source {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Source { text: text.into(), line_starts }
    }

    /// The byte at a place that `sqlparser` gives as line and character; the end of the text where it gives none.
    pub fn byte(&self, place: Location) -> usize {
        let Some(&start) = (place.line as usize).checked_sub(1).and_then(|line| self.line_starts.get(line)) else {
            return self.text.len();
        };
        let mut characters = self.text[start..].char_indices();
        characters.nth((place.column as usize).saturating_sub(1)).map_or(self.text.len(), |(i, _)| start + i)
    }

    /// A place that `sqlparser` gave.
    pub fn span(&self, span: sqlparser::tokenizer::Span) -> Span {
        if span.start.line == 0 {
            return self.bytes(0, self.text.len());
        }
        self.bytes(self.byte(span.start), self.byte(span.end))
    }

    /// From one byte to the byte before another.
    pub fn bytes(&self, start: usize, end: usize) -> Span {
        Span { text: self.text.clone(), start, end: end.max(start) }
    }

    /// The end of the text.
    pub fn end(&self) -> Span {
        self.bytes(self.text.len(), self.text.len())
    }

    /// What stands at a place.
    pub fn slice(&self, span: &Span) -> &str {
        &self.text[span.start..span.end]
    }
}

/// Cuts a text into tokens and folds its paths.
pub fn tokenize(text: &str) -> Result<Tokens, Error> {
    let source = Source::new(text);
    let tokens = match Tokenizer::new(&EventSql, text).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let start = source.byte(error.location);
            return Err(Error::new(Problem::Syntax(lower_first(&error.message)), source.bytes(start, start)));
        }
    };
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)).collect();
    if tokens.len() > TOKENS_MAX {
        return Err(Error::new(Problem::TooLarge("long"), source.span(tokens[TOKENS_MAX].span)));
    }
    let mut folder = Folder {
        source: &source,
        input: &tokens,
        output: Vec::with_capacity(tokens.len()),
        paths: HashMap::new(),
        calls: Vec::new(),
        opening: Keyword::NoKeyword,
        expected: Expected::Operand,
    };
    let mut next = 0;
    while next < tokens.len() {
        next = folder.fold(next)?;
    }
    let (output, paths) = (folder.output, folder.paths);
    Ok(Tokens { source, tokens: output, paths })
}

/// A message as ours begin.
pub fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Operand,
    Operator,
    /// After IS: NOT NULL, DISTINCT FROM and so on.
    Test,
    /// After NOT behind an operand: IN, LIKE, BETWEEN.
    Negated,
    /// After `::` or AS in CAST.
    Type,
}

struct Folder<'a> {
    source: &'a Source,
    input: &'a [TokenWithSpan],
    output: Vec<TokenWithSpan>,
    paths: HashMap<String, Path>,
    /// The word before each open parenthesis.
    calls: Vec<Keyword>,
    /// The word just before, when it opens a parenthesis.
    opening: Keyword,
    expected: Expected,
}

impl Folder<'_> {
    /// Takes the token at `at` and what belongs to it; returns the place of the next.
    fn fold(&mut self, at: usize) -> Result<usize, Error> {
        let token = &self.input[at];
        if let Token::Word(word) = &token.token {
            return match self.expected {
                Expected::Operand => self.operand(at, word),
                _ => self.operator(at, word),
            };
        }
        let was = self.expected;
        self.expected = match &token.token {
            Token::LParen => {
                self.calls.push(std::mem::replace(&mut self.opening, Keyword::NoKeyword));
                Expected::Operand
            }
            Token::RParen => {
                self.calls.pop();
                Expected::Operator
            }
            Token::DoubleColon => Expected::Type,
            Token::Mul if was == Expected::Operand => Expected::Operator,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::RBracket => Expected::Operator,
            _ => Expected::Operand,
        };
        self.output.push(token.clone());
        Ok(at + 1)
    }

    /// A word where an operand is expected.
    fn operand(&mut self, at: usize, word: &Word) -> Result<usize, Error> {
        let next = self.input.get(at + 1).map(|next| &next.token);
        if word.quote_style.is_some() || matches!(next, Some(Token::Period | Token::LBracket)) {
            return Ok(self.path(at));
        }
        let call = self.calls.last().copied().unwrap_or(Keyword::NoKeyword);
        let previous = self.output.last().map(|previous| &previous.token);
        let is_first = previous == Some(&Token::LParen);
        let after = |keyword| matches!(previous, Some(Token::Word(w)) if w.keyword == keyword);
        let is_before_operand = starts_operand(next);
        let expected = match word.keyword {
            Keyword::NULL | Keyword::TRUE | Keyword::FALSE => Expected::Operator,
            Keyword::NOT | Keyword::CASE if is_before_operand => Expected::Operand,
            Keyword::WHEN if after(Keyword::CASE) => Expected::Operand,
            Keyword::SELECT | Keyword::WITH if is_first && (is_before_operand || next == Some(&Token::Mul)) => {
                let span = self.source.span(self.input[at].span);
                return Err(Error::new(Problem::Unsupported("a subquery".into()), span));
            }
            Keyword::INTERVAL | Keyword::TIMESTAMP | Keyword::TIMESTAMPTZ | Keyword::DATE | Keyword::TIME
                if matches!(next, Some(Token::SingleQuotedString(_))) =>
            {
                Expected::Operand
            }
            Keyword::DISTINCT | Keyword::ALL if is_first && is_before_operand => Expected::Operand,
            Keyword::WHERE if is_first && call == Keyword::FILTER => Expected::Operand,
            Keyword::ORDER if is_first && call == Keyword::GROUP => Expected::Operand,
            Keyword::BY if after(Keyword::ORDER) => Expected::Operand,
            Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING
                if is_first && call == Keyword::TRIM && is_before_operand =>
            {
                Expected::Operand
            }
            _ if is_first && call == Keyword::EXTRACT => Expected::Operator,
            _ if next == Some(&Token::LParen) => {
                self.opening = word.keyword;
                let is_special = SPECIAL_CALLS.contains(&word.keyword);
                let keyword = if is_special { word.keyword } else { Keyword::NoKeyword };
                let token = Token::Word(Word { keyword, ..word.clone() });
                self.output.push(TokenWithSpan::new(token, self.input[at].span));
                return Ok(at + 1);
            }
            _ => return Ok(self.path(at)),
        };
        self.keep(at, expected)
    }

    /// A word where no operand is expected: a keyword, or an error that the parser tells.
    fn operator(&mut self, at: usize, word: &Word) -> Result<usize, Error> {
        let expected = match (self.expected, word.keyword) {
            (Expected::Operator, Keyword::OVER) => {
                let span = self.source.span(self.input[at].span);
                return Err(Error::new(Problem::Unsupported("a window function".into()), span));
            }
            (Expected::Operator, Keyword::IS) | (Expected::Test, Keyword::NOT | Keyword::DISTINCT) => Expected::Test,
            (Expected::Operator, Keyword::NOT) => Expected::Negated,
            (Expected::Operator, Keyword::AS) if self.calls.last().is_some_and(|call| CASTS.contains(call)) => {
                Expected::Type
            }
            (Expected::Operator, Keyword::FILTER | Keyword::GROUP) => {
                self.opening = word.keyword;
                Expected::Operator
            }
            (Expected::Operator, keyword) if BEFORE_OPERAND.contains(&keyword) => Expected::Operand,
            (Expected::Test, Keyword::FROM) | (Expected::Negated, _) => Expected::Operand,
            _ => Expected::Operator,
        };
        self.keep(at, expected)
    }

    fn keep(&mut self, at: usize, expected: Expected) -> Result<usize, Error> {
        self.output.push(self.input[at].clone());
        self.expected = expected;
        Ok(at + 1)
    }

    /// Folds the longest path that begins at `at`.
    fn path(&mut self, at: usize) -> usize {
        let token = |i: usize| self.input.get(i).map(|t| &t.token);
        let (mut segments, mut next) = (Vec::new(), at);
        if let Some(Token::Word(word)) = token(at) {
            segments.push(Segment::Key(word.value.as_str().into()));
            next += 1;
        }
        loop {
            match (token(next), token(next + 1), token(next + 2)) {
                (Some(Token::Period), Some(Token::Word(word)), _) => {
                    segments.push(Segment::Key(word.value.as_str().into()));
                    next += 2;
                }
                (Some(Token::LBracket), Some(Token::Number(digits, false)), Some(Token::RBracket)) => {
                    let Ok(index) = digits.parse() else { break };
                    segments.push(Segment::Index(index));
                    next += 3;
                }
                (Some(Token::LBracket), Some(Token::SingleQuotedString(key)), Some(Token::RBracket)) => {
                    segments.push(Segment::Key(key.as_str().into()));
                    next += 3;
                }
                _ => break,
            }
        }
        let path = Path(segments);
        let word = Word { value: path.to_string(), quote_style: None, keyword: Keyword::NoKeyword };
        let mut span = self.input[at].span;
        span.end = self.input[next - 1].span.end;
        self.paths.insert(word.value.clone(), path);
        self.output.push(TokenWithSpan::new(Token::Word(word), span));
        self.expected = Expected::Operator;
        next
    }
}

/// Calls with a grammar of their own.
const SPECIAL_CALLS: &[Keyword] = &[
    Keyword::CAST,
    Keyword::TRY_CAST,
    Keyword::EXTRACT,
    Keyword::SUBSTRING,
    Keyword::SUBSTR,
    Keyword::TRIM,
    Keyword::POSITION,
];

const CASTS: &[Keyword] = &[Keyword::CAST, Keyword::TRY_CAST];

/// Words between two operands.
const BEFORE_OPERAND: &[Keyword] = &[
    Keyword::AND,
    Keyword::OR,
    Keyword::XOR,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::BETWEEN,
    Keyword::ESCAPE,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::FROM,
    Keyword::FOR,
    Keyword::AS,
];

/// Whether NOT, CASE and the like stand before this as keywords: before an operator they are names.
fn starts_operand(next: Option<&Token>) -> bool {
    match next {
        Some(Token::Word(word)) => {
            let is_operator =
                matches!(word.keyword, Keyword::IS | Keyword::AND | Keyword::OR | Keyword::IN | Keyword::LIKE)
                    || matches!(word.keyword, Keyword::ILIKE | Keyword::BETWEEN | Keyword::AS | Keyword::FROM);
            !is_operator
        }
        Some(Token::Number(..) | Token::SingleQuotedString(_) | Token::LParen | Token::Minus | Token::Plus) => true,
        _ => false,
    }
}
