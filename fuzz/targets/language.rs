//! Languages: the organization's, then a locale, then `Accept-Language`, a line each. What is chosen is one of the
//! organization's own.

#![no_main]

use domain::language::Languages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let languages = lines.next().unwrap_or_default().parse::<Languages>().unwrap_or_default();
    let chosen = languages.choose(lines.next(), lines.next());
    assert!(languages.iter().any(|language| language == chosen));
    assert_eq!(languages.to_string().parse::<Languages>().as_ref(), Ok(&languages));
});
