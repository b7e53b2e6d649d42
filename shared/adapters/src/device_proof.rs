//! Proofs that a client has a device's key (DPoP, RFC 9449): their form and their signature. The domain decides about their
//! claims.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::rules::device_proof::{PROOF_TYPE, ProofClaims, ProofRefusal};
use domain::values::key_thumbprint::KeyThumbprint;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use url::Url;

use crate::tokens::signed_claims;

/// Longer than a proof with any usual claims, in bytes. A longer proof is refused without parsing.
const MAX_PROOF_BYTES: usize = 2_048;
/// The length of a coordinate on P-256 (RFC 7518 §6.2.1.2), in bytes.
const COORDINATE_BYTES: usize = 32;

/// A proof whose signature is of the key that it contains. Its claims are not checked yet.
#[derive(Debug)]
pub struct SignedProof {
    pub key: KeyThumbprint,
    /// `htu` is normalized, as [`normalized`] does.
    pub claims: ProofClaims,
}

/// A member that occurs twice is an error, as in everything that serde derives.
#[derive(Deserialize)]
struct ProofHeader<'a> {
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    jwk: Option<Jwk<'a>>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Option<Cow<'a, str>>,
    #[serde(borrow)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    y: Option<Cow<'a, str>>,
    /// The private half.
    d: Option<IgnoredAny>,
}

impl SignedProof {
    /// Verifies everything about a proof that does not depend on the request (RFC 9449 §4.3, steps 2 to 7).
    pub fn verify(proof: &str) -> Result<Self, ProofRefusal> {
        if proof.len() > MAX_PROOF_BYTES {
            return Err(ProofRefusal::Malformed);
        }
        let (header, _) = proof.split_once('.').ok_or(ProofRefusal::Malformed)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| ProofRefusal::Malformed)?;
        let header: ProofHeader<'_> = serde_json::from_slice(&header).map_err(|_| ProofRefusal::Malformed)?;
        if header.typ.as_deref() != Some(PROOF_TYPE) || header.crit.is_some() {
            return Err(ProofRefusal::WrongType);
        }
        if header.alg.as_deref() != Some("ES256") {
            return Err(ProofRefusal::WrongAlgorithm);
        }
        let [x, y] = header.jwk.as_ref().and_then(Jwk::coordinates).ok_or(ProofRefusal::WrongKey)?;
        let key = DecodingKey::from_ec_components(x, y).map_err(|_| ProofRefusal::WrongKey)?;
        let mut claims: ProofClaims = match signed_claims(proof, &key, Algorithm::ES256) {
            Some(claims) => claims,
            None if signed_claims::<IgnoredAny>(proof, &key, Algorithm::ES256).is_some() => {
                return Err(ProofRefusal::Malformed);
            }
            None => return Err(ProofRefusal::WrongSignature),
        };
        claims.htu = normalized(&claims.htu).ok_or(ProofRefusal::OtherUrl)?;
        Ok(Self { key: thumbprint(x, y).ok_or(ProofRefusal::WrongKey)?, claims })
    }
}

impl Jwk<'_> {
    /// The coordinates of a public key on P-256 in their only form, so that each key has one thumbprint.
    fn coordinates(&self) -> Option<[&str; 2]> {
        let is_public = self.kty.as_deref() == Some("EC") && self.crv.as_deref() == Some("P-256") && self.d.is_none();
        let is_coordinate =
            |text: &&str| URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == COORDINATE_BYTES);
        let [x, y] = [self.x.as_deref()?, self.y.as_deref()?];
        (is_public && is_coordinate(&x) && is_coordinate(&y)).then_some([x, y])
    }
}

/// The SHA-256 thumbprint of a key on P-256: the digest of its required members in lexicographic order (RFC 7638 §3.2).
fn thumbprint(x: &str, y: &str) -> Option<KeyThumbprint> {
    digest(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)).parse().ok()
}

/// `ath` of a proof that accompanies this access token (RFC 9449 §4.2).
pub fn access_token_digest(token: &str) -> String {
    digest(token)
}

fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// A URL without query and fragment, in the form in which equal URLs are equal texts (RFC 9449 §4.3, RFC 3986 §6.2.2 and
/// §6.2.3): scheme and host in lower case, no default port, dot segments resolved. None if it is not an `http` or `https` URL.
pub fn normalized(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use domain::rules::device_proof::ProofTarget;
    use domain::values::time::Timestamp;

    use super::*;

    /// The proof of RFC 9449 §4.1.
    const OF_A_TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj\
oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia\
WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg\
4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    /// The proof of RFC 9449 §7.1, and the access token that it accompanies.
    const OF_A_RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const ACCESS_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

    fn check(proof: &SignedProof, method: &str, url: &str, token: Option<&str>, now: i64) -> Result<(), ProofRefusal> {
        let (urls, digest) = ([url.to_owned()], token.map(access_token_digest));
        let target = ProofTarget { method, urls: &urls, access_token_digest: digest.as_deref() };
        proof.claims.check(&target, Timestamp::from_seconds(now))
    }

    #[test]
    fn the_example_proofs_of_rfc_9449_are_accepted_for_their_requests_and_no_others() {
        let proof = SignedProof::verify(OF_A_TOKEN_REQUEST).unwrap();
        assert_eq!(proof.key.as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let url = "https://server.example.com/token";
        assert_eq!(check(&proof, "POST", url, None, 1_562_262_616), Ok(()));
        assert_eq!(check(&proof, "GET", url, None, 1_562_262_616), Err(ProofRefusal::OtherMethod));
        assert_eq!(check(&proof, "POST", url, Some(ACCESS_TOKEN), 1_562_262_616), Err(ProofRefusal::OtherToken));
        let proof = SignedProof::verify(OF_A_RESOURCE_REQUEST).unwrap();
        assert_eq!(proof.key.as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let url = "https://resource.example.org/protectedresource";
        assert_eq!(check(&proof, "GET", url, Some(ACCESS_TOKEN), 1_562_262_618), Ok(()));
        assert_eq!(check(&proof, "GET", url, Some("another"), 1_562_262_618), Err(ProofRefusal::OtherToken));
    }

    #[test]
    fn a_proof_is_accepted_within_five_minutes_of_its_time() {
        let proof = SignedProof::verify(OF_A_TOKEN_REQUEST).unwrap();
        let at = |now| check(&proof, "POST", "https://server.example.com/token", None, now);
        for (seconds, result) in [(-301, false), (-300, true), (300, true), (301, false)] {
            assert_eq!(at(1_562_262_616 + seconds).is_ok(), result, "{seconds}");
        }
    }

    #[test]
    fn urls_are_compared_without_query_and_fragment_and_by_their_meaning() {
        let url = normalized("https://server.example.com/token");
        for same in [
            "HTTPS://Server.Example.com/token",
            "https://server.example.com:443/token",
            "https://server.example.com/token?a=b#c",
            "https://server.example.com/a/../token",
        ] {
            assert_eq!(normalized(same), url, "{same}");
        }
        for other in ["http://server.example.com/token", "https://server.example.com/token/", "/token", "ftp://a/token"]
        {
            assert_ne!(normalized(other), url, "{other}");
        }
        assert_eq!(normalized("https://user:password@server.example.com/token"), None);
    }
}
