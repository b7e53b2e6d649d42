//! The world's numbering plan, loaded in two parts: the home country's in half a millisecond, and the whole, which takes
//! eight times as long, only when a number of another country comes.

use std::ops::Range;
use std::sync::OnceLock;

use prost::Message;
use rlibphonenumber::{PhoneMetadataCollection, PhoneNumberFormat, PhoneNumberType, PhoneNumberUtil};

use super::country::{Country, UnknownCountry};

/// A region, its calling code, and the range of [`WORLD`] that holds every region with this code.
type Part = (&'static str, &'static str, Range<usize>);

/// Google's metadata (<https://github.com/google/libphonenumber/blob/master/resources/phonemetadata.proto>).
/// rlibphonenumber includes it but gives no access to parts of it; a test compares this copy with the library's.
static WORLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/numbering_plan.bin"));
static PARTS: &[Part] = include!(concat!(env!("OUT_DIR"), "/numbering_plan.rs"));

/// Reads numbers. Each part is loaded when it is first needed and then kept.
pub struct NumberingPlan {
    home_country: Country,
    home: OnceLock<Option<Home>>,
    world: OnceLock<Option<PhoneNumberUtil>>,
}

/// Every region that has the home country's calling code.
struct Home {
    calling_code: &'static str,
    util: PhoneNumberUtil,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mobile {
    pub(super) e164: String,
    pub(super) country: Country,
    pub(super) calling_code: u16,
}

impl NumberingPlan {
    /// `home_country` is the country of most numbers.
    pub const fn new(home_country: Country) -> Self {
        Self { home_country, home: OnceLock::new(), world: OnceLock::new() }
    }

    /// The country calling code (ITU-T E.164), such as 977, if the country has a numbering plan.
    pub fn calling_code(country: Country) -> Option<&'static str> {
        part(country).map(|(_, calling_code, _)| *calling_code)
    }

    /// A country that has a numbering plan, by its ISO 3166-1 alpha-2 code.
    pub fn country(code: &str) -> Result<Country, UnknownCountry> {
        let country = code.parse()?;
        Self::calling_code(country).map(|_| country).ok_or(UnknownCountry)
    }

    /// Loads what numbers of the home country need.
    pub fn load_home_country(&self) {
        if let Some(home) = self.home() {
            let region = self.home_country.region();
            let example = home.util.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile);
            let _ = example.map(|example| read(&home.util, &example.national_number.to_string(), self.home_country));
        }
    }

    /// The mobile number that the text is, if it is one. A national number is read in `default_country`.
    pub(super) fn read_mobile(&self, text: &str, default_country: Country) -> Option<Mobile> {
        let home = if default_country == self.home_country { self.home() } else { None };
        home.and_then(|home| home.read_mobile(text, default_country))
            .or_else(|| read(self.world()?, text, default_country))
    }

    fn home(&self) -> Option<&Home> {
        self.home.get_or_init(|| Home::of(self.home_country)).as_ref()
    }

    fn world(&self) -> Option<&PhoneNumberUtil> {
        self.world.get_or_init(|| util(WORLD)).as_ref()
    }
}

impl Home {
    fn of(country: Country) -> Option<Self> {
        let (_, calling_code, part) = part(country)?;
        Some(Self { calling_code, util: util(WORLD.get(part.clone())?)? })
    }

    /// Reads the text if it can only be a number of this part. No calling code is a prefix of another (ITU-T E.164), so a
    /// plus and this code belong here. A text without a plus is national, or it is dialled abroad and this part, which
    /// does not have its code, refuses it.
    fn read_mobile(&self, text: &str, default_country: Country) -> Option<Mobile> {
        let belongs_here =
            !text.contains(['+', '＋']) || self.util.normalize_digits_only(text).starts_with(self.calling_code);
        if belongs_here { read(&self.util, text, default_country) } else { None }
    }
}

fn part(country: Country) -> Option<&'static Part> {
    let id = country.region().as_region_str();
    PARTS.iter().find(|(of, ..)| *of == &*id)
}

fn util(metadata: &[u8]) -> Option<PhoneNumberUtil> {
    PhoneNumberUtil::new_for_metadata(PhoneMetadataCollection::decode(metadata).ok()?).ok()
}

fn read(util: &PhoneNumberUtil, text: &str, default_country: Country) -> Option<Mobile> {
    let number = util.parse(text, Some(default_country.region())).ok()?;
    let is_mobile =
        matches!(util.get_number_type(&number), PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile);
    if !is_mobile || number.extension.is_some() || !util.is_valid_number(&number) {
        return None;
    }
    Some(Mobile {
        e164: util.format(&number, PhoneNumberFormat::E164).into_owned(),
        country: Country::from_region(util.get_region_for_number(&number)?),
        calling_code: u16::try_from(number.country_code).ok()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use rlibphonenumber::{PHONE_NUMBER_UTIL as LIBRARY, Region};

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

    /// An example of each kind of number of each region, as people at home and abroad write it.
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

    fn plan(region: Region) -> NumberingPlan {
        NumberingPlan::new(Country::from_region(region))
    }

    fn by_the_library(text: &str, default: Region) -> Option<Mobile> {
        read(&LIBRARY, text, Country::from_region(default))
    }

    /// As [`NumberingPlan::read_mobile`], with one copy of the world for all plans, since it takes long to load.
    fn by_plan(plan: &NumberingPlan, text: &str) -> Option<Mobile> {
        static SHARED: LazyLock<NumberingPlan> = LazyLock::new(|| self::plan(Region::NP));
        by_home(plan, text).or_else(|| read(SHARED.world()?, text, plan.home_country))
    }

    fn by_home(plan: &NumberingPlan, text: &str) -> Option<Mobile> {
        plan.home().and_then(|home| home.read_mobile(text, plan.home_country))
    }

    /// If this fails, rlibphonenumber has newer metadata: copy its `src/generated/metadata/metadata.bin` over
    /// `numbering_plan.bin`.
    #[test]
    fn the_whole_plan_reads_what_the_library_reads() {
        let nepal = plan(Region::NP);
        let world = nepal.world().unwrap();
        assert_eq!(world.get_supported_regions().count(), regions().len());
        for text in examples() {
            assert_eq!(read(world, &text, nepal.home_country), by_the_library(&text, Region::NP), "{text}");
        }
    }

    #[test]
    fn every_home_country_reads_what_the_library_reads() {
        let examples = examples();
        for (n, region) in regions().into_iter().enumerate() {
            let plan = plan(region);
            assert!(plan.home().is_some(), "{region} has no part");
            for text in examples.iter().skip(n % 16).step_by(16) {
                assert_eq!(by_plan(&plan, text), by_the_library(text, region), "{text} in {region}");
            }
            if let Ok(own) = LIBRARY.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile) {
                let own = LIBRARY.format(&own, PhoneNumberFormat::E164).into_owned();
                assert_eq!(by_home(&plan, &own), by_the_library(&own, region), "{own} in {region}");
            }
        }
    }

    #[test]
    fn a_plus_before_an_international_prefix_is_read_as_the_library_reads_it() {
        // The library reads 81 as Japan and 994 as Azerbaijan; at home they begin the prefixes of Russia and Finland.
        for (region, text) in [(Region::RU, "+81079123456789"), (Region::FI, "+994358400000")] {
            let plan = plan(region);
            assert_eq!(plan.read_mobile(text, plan.home_country), by_the_library(text, region), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_typed_text_is_read_as_the_library_reads_it(
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
            prop_assert_eq!(by_plan(&plan(region), &text), by_the_library(&text, region), "{} in {}", text, region);
        }
    }
}
