//! `firebase auth:export users.json`: an object with the list `users`.
//! <https://firebase.google.com/docs/cli/auth#JSON>

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::record::{Each, Named, Record};
use super::when::of_milliseconds;
use adapters::people::Line;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    local_id: String,
    phone_number: Option<String>,
    display_name: Option<String>,
    photo_url: Option<String>,
    /// Milliseconds, as a text.
    created_at: Option<String>,
    last_signed_in_at: Option<String>,
    #[serde(default)]
    disabled: bool,
    /// A JSON object, as a text.
    custom_attributes: Option<String>,
    #[serde(default)]
    provider_user_info: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    provider_id: String,
}

pub fn read(file: impl BufRead, each: Each<'_>) -> Result<(), String> {
    let mut is_enough = false;
    let mut reader = serde_json::Deserializer::from_reader(file);
    let read = match reader.deserialize_map(Document { each, is_enough: &mut is_enough }) {
        Ok(Users::Absent) => return Err("not an export of Firebase: it has no list `users`".to_owned()),
        Ok(Users::Read) => reader.end(),
        Err(_) if is_enough => Ok(()),
        Err(error) => Err(error),
    };
    read.map_err(|error| format!("not an export of Firebase, at line {}, column {}", error.line(), error.column()))
}

/// Whether the document had its list.
enum Users {
    Read,
    Absent,
}

struct Document<'a, 'b> {
    each: Each<'a>,
    is_enough: &'b mut bool,
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Users;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the list users")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Users, A::Error> {
        let Document { each, is_enough } = self;
        let mut users = Users::Absent;
        while let Some(name) = map.next_key::<String>()? {
            if name == "users" {
                map.next_value_seed(Accounts { each: &mut *each, is_enough: &mut *is_enough })?;
                users = Users::Read;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(users)
    }
}

struct Accounts<'a, 'b> {
    each: Each<'a>,
    is_enough: &'b mut bool,
}

impl<'de> DeserializeSeed<'de> for Accounts<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Accounts<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of accounts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut accounts: A) -> Result<(), A::Error> {
        while let Some(account) = accounts.next_element::<Account>()? {
            if (self.each)(record(account)).is_err() {
                *self.is_enough = true;
                return Err(serde::de::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

fn record(account: Account) -> Record {
    let phone_number = account.phone_number.ok_or("the account has no number")?;
    let created_at = account.created_at.as_deref().map(of_milliseconds).transpose()?;
    let last_sign_in_at = account.last_signed_in_at.as_deref().map(of_milliseconds).transpose()?;
    // The last sign-in may have been by another provider, and then proves no number.
    let is_by_phone = account.provider_user_info.iter().all(|provider| provider.provider_id == "phone");
    let phone_proven_at = last_sign_in_at.filter(|_| is_by_phone).or(created_at);
    let claims = account.custom_attributes.filter(|text| !text.is_empty());
    let claims = claims.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Named {
        origin: format!("firebase {}", account.local_id),
        line: Line {
            phone_number: Some(phone_number),
            phone_proven_at,
            name: account.display_name,
            image_url: account.photo_url,
            created_at,
            last_sign_in_at,
            blocked_at: account.disabled.then_some(i64::MAX),
            claims: claims.map_err(|_| "customAttributes: expected a JSON object")?,
            ..Line::default()
        },
    })
}
