//! Every route: its method, path, function and guard. The functions dispatch by this table, the authorizer takes Latchkey's
//! own guarded routes from it, and a test compares it with the template.

use std::fmt;

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteGuard {
    None,
    /// A valid access token whose session is live.
    Authorizer,
    /// A refresh token in the body.
    RefreshToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    SendOtp,
    SubmitOtp,
    SendPhoneOtp,
    ValidatePhoneOtp,
    UndoPhoneChange,
    CancelPhoneChange,
    CancelRecovery,
    RefreshSession,
    ListSessions,
    EndAllSessions,
    EndSession,
    EndOwnSession,
    ReadProfile,
    ChangeProfile,
    DeleteAccount,
    RegisterFcmToken,
    ApproveSignIn,
    PublicKeys,
    Metadata,
}

/// Method, path, function and guard.
struct Entry(&'static str, &'static str, &'static str, RouteGuard);

impl Route {
    pub const ALL: [Self; 19] = [
        Self::SendOtp,
        Self::SubmitOtp,
        Self::SendPhoneOtp,
        Self::ValidatePhoneOtp,
        Self::UndoPhoneChange,
        Self::CancelPhoneChange,
        Self::CancelRecovery,
        Self::RefreshSession,
        Self::ListSessions,
        Self::EndAllSessions,
        Self::EndSession,
        Self::EndOwnSession,
        Self::ReadProfile,
        Self::ChangeProfile,
        Self::DeleteAccount,
        Self::RegisterFcmToken,
        Self::ApproveSignIn,
        Self::PublicKeys,
        Self::Metadata,
    ];

    const fn entry(self) -> Entry {
        use RouteGuard::{Authorizer, None, RefreshToken};
        match self {
            Self::SendOtp => Entry("POST", "/v1/otp/send", "send-otp", None),
            Self::SubmitOtp => Entry("POST", "/v1/otp/submit", "submit-otp", None),
            Self::SendPhoneOtp => Entry("POST", "/v1/phone/otp/send", "send-otp", Authorizer),
            Self::ValidatePhoneOtp => Entry("POST", "/v1/phone/otp/validate", "validate-otp", Authorizer),
            // A code or an access token guards it; the function checks either.
            Self::UndoPhoneChange => Entry("POST", "/v1/phone/change/undo", "submit-otp", None),
            Self::CancelPhoneChange => Entry("POST", "/v1/phone/change/cancel", "account", Authorizer),
            Self::CancelRecovery => Entry("POST", "/v1/recovery/cancel", "account", Authorizer),
            Self::RefreshSession => Entry("POST", "/v1/session/refresh", "session", RefreshToken),
            Self::ListSessions => Entry("GET", "/v1/sessions", "session", Authorizer),
            Self::EndAllSessions => Entry("DELETE", "/v1/sessions", "session", Authorizer),
            Self::EndSession => Entry("DELETE", "/v1/sessions/{session_id}", "session", Authorizer),
            Self::EndOwnSession => Entry("DELETE", "/v1/session", "session", Authorizer),
            Self::ReadProfile => Entry("GET", "/v1/me", "account", Authorizer),
            Self::ChangeProfile => Entry("PATCH", "/v1/me", "account", Authorizer),
            Self::DeleteAccount => Entry("DELETE", "/v1/me", "account", Authorizer),
            Self::RegisterFcmToken => Entry("PUT", "/v1/me/fcm-token", "account", Authorizer),
            Self::ApproveSignIn => Entry("POST", "/v1/me/sign-in-approval", "account", Authorizer),
            Self::PublicKeys => Entry("GET", "/.well-known/jwks.json", "jwks", None),
            Self::Metadata => Entry("GET", "/.well-known/openid-configuration", "jwks", None),
        }
    }

    pub const fn method(self) -> &'static str {
        self.entry().0
    }

    /// The path with its parameter in braces.
    pub const fn path(self) -> &'static str {
        self.entry().1
    }

    /// The name of the parameter in the path.
    pub fn parameter(self) -> Option<&'static str> {
        self.path().split(['{', '}']).nth(1)
    }

    /// The function that serves the route, by the name of its folder.
    pub const fn function(self) -> &'static str {
        self.entry().2
    }

    pub const fn guard(self) -> RouteGuard {
        self.entry().3
    }

    /// The route of a request, with the value of the parameter in its path.
    pub fn find<'a>(method: &str, path: &'a str) -> Option<(Self, Option<&'a str>)> {
        let of_method = Self::ALL.into_iter().filter(|route| route.method() == method);
        of_method.into_iter().find_map(|route| Some((route, route.matches(path)?)))
    }

    /// The route of a route key, such as `GET /v1/me`.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| key.split_once(' ') == Some((route.method(), route.path())))
    }

    fn matches(self, path: &str) -> Option<Option<&str>> {
        match self.path().split_once('{') {
            None => (self.path() == path).then_some(None),
            Some((before, _)) => {
                let parameter = path.strip_prefix(before)?;
                (!parameter.is_empty() && !parameter.contains('/')).then_some(Some(parameter))
            }
        }
    }
}

/// The route key.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_method_and_path_and_by_its_key() {
        for route in Route::ALL {
            let path = route.path().replace("{session_id}", "ses_1");
            let parameter = (route == Route::EndSession).then_some("ses_1");
            assert_eq!(Route::find(route.method(), &path), Some((route, parameter)));
            assert_eq!(Route::of_key(&route.to_string()), Some(route));
        }
        for (method, path) in [("PUT", "/v1/me"), ("GET", "/v1/me/"), ("DELETE", "/v1/sessions/a/b"), ("GET", "")] {
            assert_eq!(Route::find(method, path), None, "{method} {path}");
        }
    }
}
