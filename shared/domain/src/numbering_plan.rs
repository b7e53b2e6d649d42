//! The numbering plan of the world, read in parts: that of the country most numbers are of in half a millisecond, the
//! rest, eight times as long, when a number comes that is not of it.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use prost::Message;
use rlibphonenumber::{PhoneMetadataCollection, PhoneNumberFormat, PhoneNumberType, PhoneNumberUtil, Region};

/// A region, its calling code, and where in [`WHOLE`] all is that has this code.
type Part = (&'static str, &'static str, Range<usize>);

/// Google's metadata (<https://github.com/google/libphonenumber/blob/master/resources/phonemetadata.proto>), as
/// rlibphonenumber brings it but lets nobody have it in parts; a test holds the one to the other.
static WHOLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/numbering_plan.bin"));
static PARTS: &[Part] = include!(concat!(env!("OUT_DIR"), "/numbering_plan.rs"));

/// The first country that was asked for: that of the default organization.
static HOME: OnceLock<Option<Home>> = OnceLock::new();
static WORLD: LazyLock<Option<PhoneNumberUtil>> = LazyLock::new(|| util(WHOLE));

/// All that has the calling code of one country.
struct Home {
    region: Region,
    calling_code: &'static str,
    util: PhoneNumberUtil,
}

impl Home {
    fn of(region: Region) -> Option<Self> {
        let (_, calling_code, part) = part(region)?;
        Some(Self { region, calling_code, util: util(WHOLE.get(part.clone())?)? })
    }

    /// As [`mobile`], if the text can be nothing but a number of this plan. No calling code is another's beginning
    /// (ITU-T E.164), so a plus and this one lead here. A text without a plus is national; or it is dialled abroad, and
    /// then this plan does not have its code and refuses it.
    fn mobile(&self, text: &str, default: Region) -> Option<Mobile> {
        let leads_here =
            || !text.contains(['+', '＋']) || self.util.normalize_digits_only(text).starts_with(self.calling_code);
        if self.region == default && leads_here() { read(&self.util, text, default) } else { None }
    }
}

fn part(region: Region) -> Option<&'static Part> {
    let id = region.as_region_str();
    PARTS.iter().find(|(of, ..)| *of == &*id)
}

/// The calling code of a region.
pub(crate) fn calling_code(region: Region) -> Option<&'static str> {
    part(region).map(|(_, calling_code, _)| *calling_code)
}

/// A mobile's number, as the plan has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mobile {
    pub(crate) e164: String,
    pub(crate) region: Region,
    pub(crate) calling_code: u16,
}

/// The mobile's number that the text is, if it is one; a national number is read in the default region.
pub(crate) fn mobile(text: &str, default: Region) -> Option<Mobile> {
    let home = HOME.get_or_init(|| Home::of(default)).as_ref();
    home.and_then(|home| home.mobile(text, default)).or_else(|| read(WORLD.as_ref()?, text, default))
}

/// Loads what numbers of a region need.
pub(crate) fn load(region: Region) {
    if let Some(home) = HOME.get_or_init(|| Home::of(region)) {
        let example = home.util.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile);
        let _ = example.map(|example| read(&home.util, &example.national_number.to_string(), region));
    }
}

fn util(metadata: &[u8]) -> Option<PhoneNumberUtil> {
    PhoneNumberUtil::new_for_metadata(PhoneMetadataCollection::decode(metadata).ok()?).ok()
}

fn read(util: &PhoneNumberUtil, text: &str, default: Region) -> Option<Mobile> {
    let number = util.parse(text, Some(default)).ok()?;
    let is_mobile =
        matches!(util.get_number_type(&number), PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile);
    if !is_mobile || number.extension.is_some() || !util.is_valid_number(&number) {
        return None;
    }
    Some(Mobile {
        e164: util.format(&number, PhoneNumberFormat::E164).into_owned(),
        region: util.get_region_for_number(&number)?,
        calling_code: u16::try_from(number.country_code).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use rlibphonenumber::PHONE_NUMBER_UTIL as LIBRARY;

    use super::*;

    const TYPES: [PhoneNumberType; 11] = [
        PhoneNumberType::FixedLine,
        PhoneNumberType::Mobile,
        PhoneNumberType::FixedLineOrMobile,
        PhoneNumberType::TollFree,
        PhoneNumberType::PremiumRate,
        PhoneNumberType::SharedCost,
        PhoneNumberType::VoIP,
        PhoneNumberType::PersonalNumber,
        PhoneNumberType::Pager,
        PhoneNumberType::UAN,
        PhoneNumberType::VoiceMail,
    ];

    fn regions() -> Vec<Region> {
        let mut regions: Vec<_> = LIBRARY.get_supported_regions().collect();
        regions.sort_by_key(ToString::to_string);
        regions
    }

    /// An example of every kind of number of every region, each as people at home and abroad write it.
    fn examples() -> Vec<String> {
        let mut examples = Vec::new();
        for region in regions() {
            for kind in TYPES {
                if let Ok(number) = LIBRARY.get_example_number_for_type_and_region(region, kind) {
                    for format in
                        [PhoneNumberFormat::E164, PhoneNumberFormat::National, PhoneNumberFormat::International]
                    {
                        examples.push(LIBRARY.format(&number, format).into_owned());
                    }
                    examples.push(LIBRARY.format_out_of_country_calling_number(&number, Region::RU).into_owned());
                }
            }
        }
        examples
    }

    fn by_the_library(text: &str, default: Region) -> Option<Mobile> {
        read(&LIBRARY, text, default)
    }

    fn by_parts(home: &Home, text: &str) -> Option<Mobile> {
        home.mobile(text, home.region).or_else(|| read(WORLD.as_ref()?, text, home.region))
    }

    /// When this fails, rlibphonenumber brings newer metadata: its `src/generated/metadata/metadata.bin` goes over
    /// our `numbering_plan.bin`.
    #[test]
    fn the_plan_is_the_librarys() {
        let world = WORLD.as_ref().map(|world| world.get_supported_regions().count());
        assert_eq!(world, Some(regions().len()));
        for text in examples() {
            let ours = WORLD.as_ref().and_then(|world| read(world, &text, Region::NP));
            assert_eq!(ours, by_the_library(&text, Region::NP), "{text}");
        }
    }

    #[test]
    fn every_region_is_read_by_its_part_as_by_the_whole() {
        let examples = examples();
        for (n, region) in regions().into_iter().enumerate() {
            let Some(home) = Home::of(region) else { panic!("{region} has no part") };
            for text in examples.iter().skip(n % 16).step_by(16) {
                assert_eq!(by_parts(&home, text), by_the_library(text, region), "{text} in {region}");
            }
            let own = LIBRARY.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile);
            if let Ok(own) = own {
                let own = LIBRARY.format(&own, PhoneNumberFormat::E164).into_owned();
                assert_eq!(home.mobile(&own, region), by_the_library(&own, region), "{own} in {region}");
            }
        }
    }

    #[test]
    fn a_plus_before_the_way_abroad_leads_where_the_whole_says() {
        // By the library 81 is Japan, and 994 Azerbaijan; at home they begin the prefixes of Russia and Finland.
        for (region, text) in [(Region::RU, "+81079123456789"), (Region::FI, "+994358400000")] {
            let home = Home::of(region);
            assert_eq!(home.and_then(|home| by_parts(&home, text)), by_the_library(text, region), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_by_a_part_as_by_the_whole(
            region in select(regions()),
            example in select(examples()),
            prefix in select(vec!["", "", "+", "＋", "0", "00", "011", "810", "+810", "+00", "8", "1"]),
            typed in prop::collection::vec((any::<Index>(), "[0-9+]"), 0..3),
        ) {
            let mut digits: Vec<String> = example.chars().map(String::from).collect();
            for (place, digit) in typed {
                let place = place.index(digits.len());
                digits[place] = digit;
            }
            let text = format!("{prefix}{}", digits.concat());
            if let Some(home) = Home::of(region) {
                prop_assert_eq!(by_parts(&home, &text), by_the_library(&text, region), "{} in {}", text, region);
            }
        }
    }
}
