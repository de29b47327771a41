//! Label selectors as text: `a=b,c in (d,e),!f,g>5`, with the words of the API server for what can't be read.

use super::selector::Test;
use super::validate::names;
use crate::sim::store::Refusal;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) => text,
            Self::Sign(text) => text,
            Self::End => "",
        }
    }
}

const SIGNS: [&str; 9] = ["==", "!=", "(", ")", ",", "!", "=", ">", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Sign(sign));
            rest = rest[sign.len()..].trim_start();
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=!(),><".contains(c)).unwrap_or(rest.len());
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn unparsable(why: &str) -> Refusal {
        Refusal::bad_request(format!("unable to parse requirement: {why}"))
    }

    fn all(&mut self) -> Result<Vec<Test>, Refusal> {
        let mut tests = Vec::new();
        loop {
            match self.peek().clone() {
                Token::Word(_) | Token::Sign("!") => {
                    tests.push(self.requirement()?);
                    match self.next() {
                        Token::End => return Ok(tests),
                        Token::Sign(",") => {
                            let next = self.peek().clone();
                            if !matches!(next, Token::Word(_) | Token::Sign("!")) {
                                let message =
                                    format!("found '{}', expected: identifier after ','", next.text());
                                return Err(Refusal::bad_request(message));
                            }
                        }
                        other => {
                            let message =
                                format!("found '{}', expected: ',' or 'end of string'", other.text());
                            return Err(Refusal::bad_request(message));
                        }
                    }
                }
                Token::End => return Ok(tests),
                other @ Token::Sign(_) => {
                    let message =
                        format!("found '{}', expected: !, identifier, or 'end of string'", other.text());
                    return Err(Refusal::bad_request(message));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Test, Refusal> {
        let absent = *self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => {
                return Err(Self::unparsable(&format!("found '{}', expected: identifier", other.text())));
            }
        };
        if let Some(why) = names::qualified(&key).first() {
            return Err(Self::unparsable(&format!("<nil>: Invalid value: {key:?}: {why}")));
        }
        if absent {
            return Ok(Test::Absent(key));
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(Test::Exists(key));
        }
        let operator = self.next();
        let test = match (operator.text(), &operator) {
            ("in", Token::Word(_)) => Test::In(key.clone(), self.set(&key)?),
            ("notin", Token::Word(_)) => Test::NotIn(key.clone(), self.set(&key)?),
            ("=" | "==", _) => Test::In(key.clone(), vec![self.value(&key)?]),
            ("!=", _) => Test::NotIn(key.clone(), vec![self.value(&key)?]),
            (sign @ (">" | "<"), _) => {
                let text = self.raw_value()?;
                let than = text.parse().map_err(|_| {
                    Self::unparsable(&format!(
                        "values[0]: Invalid value: {text:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ))
                })?;
                if sign == ">" { Test::Above(key, than) } else { Test::Below(key, than) }
            }
            (other, _) => {
                let why = format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt");
                return Err(Self::unparsable(&why));
            }
        };
        Ok(test)
    }

    fn raw_value(&mut self) -> Result<String, Refusal> {
        match self.peek().clone() {
            Token::Word(text) => {
                self.next();
                Ok(text)
            }
            Token::End | Token::Sign(",") => Ok(String::new()),
            other @ Token::Sign(_) => {
                Err(Self::unparsable(&format!("found '{}', expected: identifier", other.text())))
            }
        }
    }

    fn value(&mut self, key: &str) -> Result<String, Refusal> {
        let text = self.raw_value()?;
        Self::check(key, 0, &text)?;
        Ok(text)
    }

    fn check(key: &str, index: usize, text: &str) -> Result<(), Refusal> {
        match names::label_value(text).first() {
            Some(why) => {
                Err(Self::unparsable(&format!("values[{index}][{key}]: Invalid value: {text:?}: {why}")))
            }
            None => Ok(()),
        }
    }

    fn set(&mut self, key: &str) -> Result<Vec<String>, Refusal> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(Self::unparsable(&format!("found '{}' expected: '('", other.text()))),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(text) => {
                    values.push(text);
                    match self.next() {
                        Token::Sign(",") => {}
                        Token::Sign(")") => break,
                        other => {
                            let why = format!("found '{}', expected: ',' or ')'", other.text());
                            return Err(Self::unparsable(&why));
                        }
                    }
                }
                Token::Sign(",") => values.push(String::new()),
                Token::Sign(")") => {
                    values.push(String::new());
                    break;
                }
                other => {
                    let why = format!("found '{}', expected: ',', ')' or identifier", other.text());
                    return Err(Self::unparsable(&why));
                }
            }
        }
        for (index, value) in values.iter().enumerate() {
            Self::check(key, index, value)?;
        }
        Ok(values)
    }
}

/// Reads a selector.
///
/// # Errors
/// 400 for what can't be read.
pub(super) fn parse(text: &str) -> Result<Vec<Test>, Refusal> {
    Parser { tokens: tokens(text), at: 0 }.all()
}
