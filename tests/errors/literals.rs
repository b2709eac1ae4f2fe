//! The source as tokens, production and tests apart, and the text of its string literals.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The text of a string literal; of any other literal nothing.
pub fn text(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        let raw = raw.trim_matches('#');
        return raw.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut letters) = (String::new(), inner.chars().peekable());
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '0' => text.push('\0'),
            'x' => {
                let digits: String = letters.by_ref().take(2).collect();
                text.push(u8::from_str_radix(&digits, 16).ok()?.into());
            }
            'u' => {
                let digits: String = letters.by_ref().skip(1).take_while(|c| *c != '}').collect();
                text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
            }
            '\n' => while letters.next_if(|c| c.is_whitespace()).is_some() {},
            other => text.push(other),
        }
    }
    Some(text)
}

/// Every string literal below these tokens, those of attributes (and so of comments) left out.
pub fn strings(tokens: TokenStream, out: &mut Vec<(usize, String)>) {
    for token in bare(tokens) {
        match token {
            TokenTree::Literal(literal) => {
                let line = literal.span().start().line;
                out.extend(text(&literal.to_string()).map(|text| (line, text)));
            }
            TokenTree::Group(group) => strings(group.stream(), out),
            _ => {}
        }
    }
}

/// The tokens without attributes.
pub fn bare(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        let attribute = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
            && kept.last().is_some_and(|last| is(last, "#"));
        if attribute {
            kept.pop();
        } else if is(&token, "!") && kept.last().is_some_and(|last| is(last, "#")) {
            // An inner attribute.
        } else {
            kept.push(token);
        }
    }
    kept
}

/// Production's tokens, and those of what stands under `#[cfg(test)]`, at any depth of modules and blocks.
pub fn apart(tokens: TokenStream) -> (TokenStream, TokenStream) {
    let (mut production, mut tests): (Vec<TokenTree>, Vec<TokenTree>) = (Vec::new(), Vec::new());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if test_only(&production, &group) => {
                production.pop();
                for token in tokens.by_ref() {
                    let ends = is(&token, ";")
                        || matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
                    tests.push(token);
                    if ends {
                        break;
                    }
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let (kept, tested) = apart(group.stream());
                let mut replaced = Group::new(group.delimiter(), kept);
                replaced.set_span(group.span());
                production.push(replaced.into());
                tests.extend(tested);
            }
            token => production.push(token),
        }
    }
    (production.into_iter().collect(), tests.into_iter().collect())
}

fn test_only(before: &[TokenTree], group: &Group) -> bool {
    let condition = group.to_string().replace(' ', "");
    group.delimiter() == Delimiter::Bracket
        && before.last().is_some_and(|last| is(last, "#"))
        && (condition.starts_with("[cfg(test)") || condition.starts_with("[cfg(all(test"))
}

/// Whether the token is this mark or word.
pub fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Group(_) => false,
        token => token.to_string() == text,
    }
}
