//! Three lines: an organization's languages, a locale, an `Accept-Language` header. The chosen language is one of the
//! organization's.

#![no_main]

use domain::values::language::Languages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let languages = lines.next().unwrap_or_default().parse::<Languages>().unwrap_or_default();
    let chosen = languages.choose(lines.next(), lines.next());
    assert!(languages.iter().any(|language| language == chosen));
    assert_eq!(languages.to_string().parse::<Languages>().as_ref(), Ok(&languages));
});
