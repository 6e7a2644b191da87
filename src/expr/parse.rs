//! The four kinds of text that hold expressions: one expression, group columns, aggregates, an order.
//!
//! Knows nothing of SQL's grammar beyond commas, AS, ASC and DESC; `sqlparser` does.

use crate::expr::ast::{AggregateCall, Expr, Named, OrderKey, name_of_path};
use crate::expr::convert::Converter;
use crate::expr::error::{Error, Problem, Span};
use crate::expr::tokens::{EventSql, Tokens, lower_first, tokenize};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Parses one expression, as for `--where` and `--having`. Aggregates are let through as `Expr::Aggregate`: where
/// there are single events, call `Expr::refuse_aggregates`.
pub fn parse(text: &str) -> Result<Expr, Error> {
    let tokens = tokenize(text)?;
    parse_tokens(&tokens, &tokens.tokens, tokens.source.end())
}

/// Parses a list of group columns: `properties.name AS name, lower(country) AS c`.
pub fn parse_groups(text: &str) -> Result<Vec<Named>, Error> {
    let tokens = tokenize(text)?;
    let mut groups = Vec::new();
    for item in items(&tokens) {
        let (expr, name) = parse_named(&tokens, &item)?;
        expr.refuse_aggregates("--by")?;
        let name = name.unwrap_or_else(|| match &expr {
            Expr::Path { path, .. } => name_of_path(path),
            _ => item.text(&tokens),
        });
        groups.push(Named { expr, name });
    }
    Ok(groups)
}

/// Parses a list of aggregates: `count(*) AS n, sum(properties.amount) FILTER (WHERE x > 1) AS total`.
pub fn parse_aggregates(text: &str) -> Result<Vec<AggregateCall>, Error> {
    let tokens = tokenize(text)?;
    let mut calls = Vec::new();
    for item in items(&tokens) {
        let (expr, name) = parse_named(&tokens, &item)?;
        let Expr::Aggregate { call, .. } = expr else {
            return Err(Error::new(Problem::NotAggregate(item.text(&tokens)), item.span(&tokens)));
        };
        let name = name.unwrap_or_else(|| item.text(&tokens));
        calls.push(AggregateCall { name, ..*call });
    }
    Ok(calls)
}

/// Parses an order: `view_count DESC, k0 ASC NULLS LAST`. Without NULLS FIRST, NULLs are last in both directions.
pub fn parse_order(text: &str) -> Result<Vec<OrderKey>, Error> {
    let tokens = tokenize(text)?;
    let mut keys = Vec::new();
    for item in items(&tokens) {
        let mut rest = item.tokens;
        let mut nulls_first = false;
        if let [before @ .., nulls, place] = rest
            && !before.is_empty()
            && is_keyword(nulls, Keyword::NULLS)
            && (is_keyword(place, Keyword::FIRST) || is_keyword(place, Keyword::LAST))
        {
            nulls_first = is_keyword(place, Keyword::FIRST);
            rest = before;
        }
        let mut descending = false;
        if let [before @ .., direction] = rest
            && !before.is_empty()
            && (is_keyword(direction, Keyword::ASC) || is_keyword(direction, Keyword::DESC))
        {
            descending = is_keyword(direction, Keyword::DESC);
            rest = before;
        }
        let expr = parse_tokens(&tokens, rest, item.end)?;
        keys.push(OrderKey { expr, descending, nulls_first });
    }
    Ok(keys)
}

/// What stands between two commas.
struct Item<'a> {
    tokens: &'a [TokenWithSpan],
    /// The comma behind it, or the end of the text.
    end: Span,
}

impl Item<'_> {
    /// All of it but AS and the name.
    fn span(&self, tokens: &Tokens) -> Span {
        let expression = &self.tokens[..named_at(self.tokens).unwrap_or(self.tokens.len())];
        match (expression.first(), expression.last()) {
            (Some(first), Some(last)) => {
                tokens.source.bytes(tokens.source.byte(first.span.start), tokens.source.byte(last.span.end))
            }
            _ => self.end.clone(),
        }
    }

    fn text(&self, tokens: &Tokens) -> String {
        tokens.source.slice(&self.span(tokens)).into()
    }
}

/// The items of a list, cut at the commas outside of parentheses.
fn items(tokens: &Tokens) -> Vec<Item<'_>> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_i64, 0);
    for (i, token) in tokens.tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 0 => {
                items.push(Item { tokens: &tokens.tokens[start..i], end: tokens.source.span(token.span) });
                start = i + 1;
            }
            _ => {}
        }
    }
    items.push(Item { tokens: &tokens.tokens[start..], end: tokens.source.end() });
    items
}

/// Where the AS of an item stands. In a path or a CAST there can't be one outside of parentheses.
fn named_at(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_i64;
    tokens.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0 && is_keyword(token, Keyword::AS)
    })
}

fn is_keyword(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword)
}

/// An expression and the name after AS.
fn parse_named(tokens: &Tokens, item: &Item<'_>) -> Result<(Expr, Option<String>), Error> {
    let Some(at) = named_at(item.tokens) else {
        return Ok((parse_tokens(tokens, item.tokens, item.end.clone())?, None));
    };
    let as_span = tokens.source.span(item.tokens[at].span);
    let expr = parse_tokens(tokens, &item.tokens[..at], as_span.clone())?;
    if let [name] = &item.tokens[at + 1..]
        && let Token::Word(word) = &name.token
        && let Some([crate::event::Segment::Key(key)]) = tokens.paths.get(&word.value).map(|path| &*path.0)
    {
        return Ok((expr, Some(key.to_string())));
    }
    let span = item.tokens.get(at + 1).map_or(as_span, |token| tokens.source.span(token.span));
    Err(Error::new(Problem::Syntax("expected a name after AS".into()), span))
}

/// Parses all of `slice`; `end` is where it ends.
fn parse_tokens(tokens: &Tokens, slice: &[TokenWithSpan], end: Span) -> Result<Expr, Error> {
    let mut parser = Parser::new(&EventSql).with_tokens_with_locations(slice.to_vec());
    let parsed = parser.parse_expr().map_err(|error| explain(tokens, slice, error, &end))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let message = format!("expected an operator, found '{}'", rest.token);
        return Err(Error::new(Problem::Syntax(message), tokens.source.span(rest.span)));
    }
    Converter { tokens }.expr(&parsed, 0)
}

/// The parser's message in our words, at its place, which it gives in words only.
fn explain(tokens: &Tokens, slice: &[TokenWithSpan], error: ParserError, end: &Span) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => return Error::new(Problem::TooLarge("deeply nested"), end.clone()),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (&*message, None),
    };
    let location = place.and_then(|(line, column)| Some(Location::new(line.parse().ok()?, column.parse().ok()?)));
    let token = location.and_then(|location| slice.iter().find(|token| token.span.start == location));
    let span = token.map_or_else(|| end.clone(), |token| tokens.source.span(token.span));
    let message = match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, _)) => {
            let found = token.map_or("the end of the text".into(), |_| format!("'{}'", tokens.source.slice(&span)));
            let found =
                if token.is_none() && end.start < end.end { format!("'{}'", tokens.source.slice(end)) } else { found };
            format!("expected {expected}, found {found}")
        }
        None => lower_first(message),
    };
    Error::new(Problem::Syntax(message), span)
}
