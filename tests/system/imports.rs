//! The imports between the files of a crate, read from its sources: which file imports from which, and by which path.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::{rust_files, text};

/// A module by the names on its path: `store::users` is `["store", "users"]`, the root of a crate is `[]`.
pub type Module = Vec<String>;

/// The files of a crate, each with the modules that it imports from and one path for each, as the source has it.
pub struct Crate {
    pub files: BTreeMap<Module, String>,
    pub imports: BTreeMap<Module, BTreeMap<Module, String>>,
}

impl Crate {
    pub fn read(folder: &str) -> Self {
        let files = rust_files(folder).into_iter().map(|file| (file[folder.len() + 1..].to_owned(), text(&file)));
        Self::new(folder, files)
    }

    /// The names of the sources are relative to the folder. A program beside a library counts as one of its modules.
    fn new(folder: &str, sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let sources: BTreeMap<_, _> = sources.into_iter().collect();
        let root = if sources.contains_key("lib.rs") { "lib.rs" } else { "main.rs" };
        let module = |file: &str| -> Module {
            let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
            if file == root { Module::new() } else { path.split('/').map(str::to_owned).collect() }
        };
        let files: BTreeMap<_, _> = sources.keys().map(|file| (module(file), format!("{folder}/{file}"))).collect();
        let imports = sources.iter().map(|(file, source)| {
            let importer = module(file);
            let mut imports = BTreeMap::new();
            for (path, target) in paths(&importer, &tokens(source), &files) {
                imports.entry(target).or_insert(path);
            }
            imports.remove(&importer);
            (importer, imports)
        });
        Self { imports: imports.collect(), files }
    }

    pub fn describe(&self, importer: &Module, imported: &Module) -> String {
        let path = &self.imports[importer][imported];
        format!("{} imports {path}, from {}", self.files[importer], self.files[imported])
    }
}

/// The words and signs of a source, without comments, strings and characters. `::` is one sign.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            let mut characters = rest.chars().skip(1);
            let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
            if is_character { quoted(rest, '\'') } else { 1 }
        } else if word > 0 {
            raw_string(rest, word).unwrap_or_else(|| {
                tokens.push(&rest[..word]);
                word
            })
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push(&rest[..length]);
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a comment that may hold others.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    loop {
        match text[at..].find(['/', '*']) {
            None => return text.len(),
            Some(found) => at += found,
        }
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            return at;
        }
    }
}

/// The length of a string or character with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of a raw string, if the word before its quotes begins one.
fn raw_string(text: &str, word: usize) -> Option<usize> {
    let after = ["r", "br", "cr"].contains(&&text[..word]).then(|| &text[word..])?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", &after[..hashes]);
    let inside = after[hashes..].strip_prefix('"')?;
    Some(text.len() - inside.len() + inside.find(&end).map_or(inside.len(), |at| at + end.len()))
}

/// The paths in a file that lead to a file of the same crate, each with the module of that file.
fn paths(file: &Module, tokens: &[&str], files: &BTreeMap<Module, String>) -> Vec<(String, Module)> {
    let mut found = Vec::new();
    // The open braces, each with a name where it opens an inline module.
    let mut braces: Vec<Option<&str>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut written = Vec::new();
        at = match &tokens[at..] {
            ["#", "[", "cfg", "(", "test", ")", "]", ..] => end_of_item(tokens, at + 7),
            ["pub", "(", ..] => at + 1 + tokens[at..].iter().position(|token| *token == ")").unwrap_or_default(),
            ["mod", name, "{", ..] => {
                braces.push(Some(name));
                at + 3
            }
            ["{", ..] => {
                braces.push(None);
                at + 1
            }
            ["}", ..] => {
                braces.pop();
                at + 1
            }
            ["use", ..] => tree(tokens, at + 1, &[], &mut written),
            [name, "::", ..] if name.starts_with(is_of_word) && !(at > 0 && [".", "::"].contains(&tokens[at - 1])) => {
                tree(tokens, at, &[], &mut written)
            }
            _ => at + 1,
        };
        let inner = braces.iter().flatten().map(|name| (*name).to_owned());
        let scope: Module = file.iter().cloned().chain(inner).collect();
        found.extend(written.into_iter().filter_map(|path| Some((path.join("::"), resolve(&scope, &path, files)?))));
    }
    found
}

/// Reads a path, or the tree of paths of a `use`, and returns where it ends.
fn tree<'a>(tokens: &[&'a str], mut at: usize, before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = match tokens[at] {
                        "," => at + 1,
                        "as" => at + 2,
                        _ => tree(tokens, at, &path, found),
                    };
                }
                return at + 1;
            }
            Some(name) if name.starts_with(is_of_word) => path.push(name),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            found.push(path);
            return at;
        }
        at += 1;
    }
    // The path ended with `::*` or `::<`.
    found.push(path);
    at + 1
}

/// The end of the item that begins here, with its attributes.
fn end_of_item(tokens: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && [";", "}"].contains(token) {
            return at + 1;
        }
    }
    tokens.len()
}

/// The file that a path leads to: the innermost module on it that has a file.
fn resolve(scope: &Module, path: &[&str], files: &BTreeMap<Module, String>) -> Option<Module> {
    let supers = path.iter().take_while(|name| **name == "super").count();
    let (mut module, names) = match path.first()? {
        &"crate" => (Module::new(), &path[1..]),
        &"self" => (scope.clone(), &path[1..]),
        &"super" => (scope[..scope.len().checked_sub(supers)?].to_vec(), &path[supers..]),
        name => {
            let child: Module = scope.iter().cloned().chain([(*name).to_owned()]).collect();
            (files.contains_key(&child).then_some(child)?, &path[1..])
        }
    };
    for name in names {
        module.push((*name).to_owned());
        if !files.contains_key(&module) {
            module.pop();
            break;
        }
    }
    // An inline module belongs to the file that contains it.
    while !files.contains_key(&module) {
        module.pop()?;
    }
    Some(module)
}

/// A crate of these sources, in the folder `src`.
pub fn synthetic(sources: &[(&str, &str)]) -> Crate {
    Crate::new("src", sources.iter().map(|(file, source)| ((*file).to_owned(), (*source).to_owned())))
}

#[track_caller]
fn assert_imports(sources: &[(&str, &str)], importer: &str, imported: &[&str]) {
    let read = synthetic(sources);
    let (module, _) = read.files.iter().find(|(_, file)| **file == format!("src/{importer}")).unwrap();
    let found: BTreeSet<_> = read.imports[module].keys().map(|module| &read.files[module]["src/".len()..]).collect();
    assert_eq!(found, imported.iter().copied().collect(), "{importer}");
}

#[test]
fn every_form_of_import_leads_to_the_file_that_has_the_module() {
    let others = |sources: &'static str| {
        [
            ("lib.rs", "mod a; mod b; mod c; mod http; mod user;"),
            ("a.rs", ""),
            ("b/mod.rs", "mod d; pub use d::D;"),
            ("b/d.rs", ""),
            ("c.rs", ""),
            ("c/e.rs", ""),
            ("http.rs", ""),
            ("user.rs", sources),
            ("user/inner.rs", ""),
        ]
    };
    for (source, imported) in [
        ("use crate::{a, b::{self, d::D as E}, c::e::*};", &["a.rs", "b/d.rs", "b/mod.rs", "c/e.rs"][..]),
        ("use crate::b::D;", &["b/mod.rs"]),
        ("use super::{c, c::e::E};", &["c.rs", "c/e.rs"]),
        ("use crate::Item;", &["lib.rs"]),
        ("pub use inner::Item;", &["user/inner.rs"]),
        ("use self::inner::Item; fn f() { inner::g::<crate::a::A>() }", &["a.rs", "user/inner.rs"]),
        ("mod of_this_file { use super::super::a::A; use super::Item; }", &["a.rs"]),
        ("macro_rules! m { () => { $crate::a::f() } }", &["a.rs"]),
        ("use http::HeaderMap; use ::a::A; pub(in crate::a) fn f() { x.inner::<u8>() }", &[]),
        (
            "// use crate::a;\n/* /* */ crate::a::A */ fn f<'a>() { ('\"', \"crate::a::A\", r#\"\" crate::a::A\"#) }",
            &[],
        ),
        ("#[cfg(test)] #[allow(x)] mod tests { use crate::a::A; } use crate::c::C;", &["c.rs"]),
        ("#[cfg(test)] use crate::{a, b}; #[cfg(test)] fn f(x: [u8; 2]) { crate::a::f() } use crate::c::C;", &["c.rs"]),
    ] {
        assert_imports(&others(source), "user.rs", imported);
    }
}
