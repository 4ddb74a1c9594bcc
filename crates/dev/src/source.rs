//! Just enough of Rust's lexical structure to look at code without its comments and strings.

/// What of a source text is kept by [`strip`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Code with its string literals.
    CodeAndStrings,
    /// Code alone.
    Code,
}

/// The text with comments (and, if asked, the contents of string literals) blanked out; lines keep their numbers.
pub fn strip(source: &str, keep: Keep) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if is_raw_string(&chars, at) => raw_string_end(&chars, at),
            '\'' => char_end(&chars, at),
            _ => at + 1,
        };
        let is_comment = chars[at] == '/' && end > at + 1;
        let is_string = end > at + 1 && !is_comment;
        let blank = is_comment || (is_string && keep == Keep::Code);
        for &c in &chars[at..end] {
            out.push(if blank && c != '\n' { ' ' } else { c });
        }
        at = end;
    }
    out
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&at| chars[at] == '\n').unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn is_raw_string(chars: &[char], at: usize) -> bool {
    let follows_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b';
    let quote = (at + 1..chars.len()).find(|&next| chars[next] != '#');
    !follows_word && quote.is_some_and(|next| chars[next] == '"')
}

fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    let mut at = from + hashes + 2;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// A character literal ends at its quote; a lifetime is one character of code.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (from + 3..chars.len()).find(|&at| chars[at] == '\'').map_or(chars.len(), |at| at + 1),
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, strip};

    #[test]
    fn blanks_comments_and_keeps_line_numbers() {
        let source = "a /* x\n /* y */ */ b // c\nd";
        assert_eq!(strip(source, Keep::CodeAndStrings), "a     \n            b     \nd");
    }

    #[test]
    fn keeps_what_looks_like_a_comment_inside_a_string() {
        let source = r##"let url = "http://x"; let raw = r#"/* " */"#; // gone"##;
        let kept = strip(source, Keep::CodeAndStrings);
        assert!(kept.contains("http://x") && kept.contains("/* \" */") && !kept.contains("gone"));
    }

    #[test]
    fn blanks_strings_if_asked_and_knows_lifetimes_from_characters() {
        let source = r#"fn f<'a>(x: &'a str) -> char { g("secret", '"', '\''); 'b' }"#;
        let kept = strip(source, Keep::Code);
        assert!(!kept.contains("secret") && kept.contains("&'a str") && kept.ends_with('}'));
    }
}
