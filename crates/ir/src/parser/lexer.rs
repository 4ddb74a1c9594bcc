//! Text into words, strings and punctuation.

use super::ParseError;
use crate::printer::is_word_character;

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name or a number.
    Word(&'a str),
    /// A string in quotes, unescaped.
    Text(String),
    /// One of `(){}[],:=@/`.
    Punctuation(char),
    /// One or more ends of lines, with comments and empty lines between them.
    EndOfLine,
}

/// A token and its line, counted from 1.
pub type Located<'a> = (Token<'a>, u32);

/// All tokens of a text; `;` starts a comment.
pub fn tokens(text: &str) -> Result<Vec<Located<'_>>, ParseError> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index as u32 + 1;
        let before = tokens.len();
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == ';' {
                break;
            }
            let token = if is_word_character(first) {
                let end = rest.find(|character| !is_word_character(character)).unwrap_or(rest.len());
                let word;
                (word, rest) = rest.split_at(end);
                Token::Word(word)
            } else if first == '"' {
                let text;
                (text, rest) = string(&rest[1..], number)?;
                Token::Text(text)
            } else if "(){}[],:=@/".contains(first) {
                rest = &rest[1..];
                Token::Punctuation(first)
            } else {
                return Err(ParseError { line: number, message: format!("unexpected character {first:?}") });
            };
            tokens.push((token, number));
            rest = rest.trim_start();
        }
        if tokens.len() > before {
            tokens.push((Token::EndOfLine, number));
        }
    }
    Ok(tokens)
}

/// The string whose opening quote is in front of `text`, and what follows it.
fn string(text: &str, line: u32) -> Result<(String, &str), ParseError> {
    let error = |message: &str| ParseError { line, message: message.to_string() };
    let mut result = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((result, &text[index + 1..])),
            '\\' => match characters.next().map(|(_, escape)| escape) {
                Some('n') => result.push('\n'),
                Some('u') => {
                    let digits: String =
                        characters.by_ref().map(|(_, c)| c).skip(1).take_while(|c| *c != '}').collect();
                    let number = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    result.push(number.ok_or_else(|| error("no character has this number"))?);
                }
                Some(escape @ ('"' | '\\')) => result.push(escape),
                _ => return Err(error("unknown escape")),
            },
            other => result.push(other),
        }
    }
    Err(error("a string does not end"))
}
