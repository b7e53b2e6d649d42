//! Turns `languages/*.txt` into code, and refuses a file that would make a bad message, so that a translator needs to
//! touch nothing else; and sorts the numbering plan by calling code, so that a part of it can be read alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var_os("OUT_DIR").ok_or("Cargo names no OUT_DIR")?;
    let out = Path::new(&out);
    languages(out)?;
    numbering_plan(out)
}

fn languages(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=languages");
    let mut files: Vec<_> = fs::read_dir("languages")?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let (mut english, mut others) = (None, String::new());
    for file in files {
        let path = file.path();
        let language = language(&path).map_err(|wrong| format!("{}: {wrong}", path.display()))?;
        if file.file_name() == "en.txt" {
            english = Some(language);
        } else {
            writeln!(others, "{language},")?;
        }
    }
    let english = english.ok_or("languages/en.txt is missing")?;
    let languages = format!("({english}, &[{others}])");
    fs::write(out.join("languages.rs"), languages)?;
    Ok(())
}

fn language(path: &Path) -> Result<String, Box<dyn Error>> {
    let tag = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_tag = !tag.is_empty() && tag.split('-').all(|part| part.chars().all(|c| c.is_ascii_alphanumeric()));
    if !is_tag || path.extension().is_none_or(|extension| extension != "txt") {
        return Err("the name is no BCP 47 language tag and .txt".into());
    }
    let text = fs::read_to_string(path)?;
    let word = member(&text, "word")?;
    let mut sentences = String::new();
    for purpose in ["sign_in", "verify", "change"] {
        let (with_code, above_code) = (format!("{purpose}_with_code"), format!("{purpose}_above_code"));
        let with = sentence(&text, &with_code, word)?;
        let above = sentence(&text, &above_code, word)?;
        for (name, sentence, limits) in [(&with_code, with, (160, 70)), (&above_code, above, (145, 55))] {
            check_length(sentence, limits).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        check_code(with).map_err(|wrong| format!("{with_code}: {wrong}"))?;
        if above.contains("{code}") {
            return Err(format!("{above_code} must not contain {{code}}").into());
        }
        write!(sentences, "{purpose}: Sentences {{ with_code: {with:?}, above_code: {above:?} }}, ")?;
    }
    for name in ["phone_change_pending", "phone_changed"] {
        let notice = notice(&text, name)?;
        write!(sentences, "{name}: {notice:?}, ")?;
    }
    Ok(format!("Language {{ tag: {tag:?}, word: {word:?}, {sentences} }}"))
}

fn sentence<'a>(text: &'a str, name: &str, word: &str) -> Result<&'a str, String> {
    let sentence = member(text, name)?;
    if !sentence.contains(word) {
        return Err(format!("{name} does not contain the word {word}"));
    }
    if sentence.matches("{app}").count() != 1 {
        return Err(format!("{name} must contain {{app}} once"));
    }
    if sentence.replace("{app}", "").replace("{code}", "").contains(|c: char| c.is_numeric() || "{}@#".contains(c)) {
        return Err(format!("{name} has a digit, a brace, @ or # of its own"));
    }
    Ok(sentence)
}

/// A message without a code.
fn notice<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    let notice = member(text, name)?;
    if ["{app}", "{hours}"].iter().any(|part| notice.matches(part).count() != 1) {
        return Err(format!("{name} must contain {{app}} and {{hours}} once"));
    }
    if notice.replace("{app}", "").replace("{hours}", "").contains(|c: char| c.is_numeric() || "{}@#".contains(c)) {
        return Err(format!("{name} has a digit, a brace, @ or # of its own"));
    }
    check_length(&notice.replace("{hours}", "720"), (160, 70)).map_err(|wrong| format!("{name}: {wrong}"))?;
    Ok(notice)
}

/// Without the app's name, so that a message can always be cut off to fit one segment. Below a sentence without a code there
/// may be a line of 15 characters.
fn check_length(sentence: &str, (ascii, other): (usize, usize)) -> Result<(), String> {
    let text = sentence.replace("{app}", "").replace("{code}", "123456");
    let (length, allowed) = (text.encode_utf16().count(), if text.is_ascii() { ascii } else { other });
    if length > allowed { Err(format!("it has {length} characters; {allowed} are allowed")) } else { Ok(()) }
}

fn check_code(sentence: &str) -> Result<(), &'static str> {
    let around: Vec<&str> = sentence.split("{code}").collect();
    let [before, after] = around[..] else { return Err("{code} must stand once") };
    let touches = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "{}".contains(c));
    if touches(before.chars().next_back()) || touches(after.chars().next()) {
        return Err("{code} must stand apart from the words around it");
    }
    Ok(())
}

fn member<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let value = lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is missing"))
}

/// A `PhoneMetadataCollection` whose members are not looked into.
#[derive(Message)]
struct Territories {
    #[prost(bytes = "vec", repeated, tag = "1")]
    metadata: Vec<Vec<u8>>,
}

/// What a `PhoneMetadata` is of.
#[derive(Message)]
struct Territory {
    #[prost(string, tag = "9")]
    id: String,
    #[prost(int32, tag = "10")]
    country_code: i32,
}

fn numbering_plan(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=numbering_plan.bin");
    let mut by_code: BTreeMap<i32, (Territories, Vec<String>)> = BTreeMap::new();
    for metadata in Territories::decode(fs::read("numbering_plan.bin")?.as_slice())?.metadata {
        let Territory { id, country_code } = Territory::decode(metadata.as_slice())?;
        let (territories, ids) = by_code.entry(country_code).or_default();
        territories.metadata.push(metadata);
        ids.push(id);
    }
    let (mut plan, mut parts) = (Vec::new(), String::new());
    for (calling_code, (territories, ids)) in by_code {
        let start = plan.len();
        territories.encode(&mut plan)?;
        for id in ids {
            writeln!(parts, "({id:?}, \"{calling_code}\", {start}..{}),", plan.len())?;
        }
    }
    fs::write(out.join("numbering_plan.bin"), plan)?;
    fs::write(out.join("numbering_plan.rs"), format!("&[{parts}]"))?;
    Ok(())
}
