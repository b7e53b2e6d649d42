//! The parameters of `template.yaml`: what they accept at deployment, the functions accept at their start.

use std::collections::BTreeMap;

use adapters::config::Config;
use domain::values::language::{Language, Languages};
use domain::values::numbering_plan::NumberingPlan;
use local::Template;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::{Value, json};

use crate::workspace::{template, text};

const CASES: u32 = 200;

fn parameters() -> impl Iterator<Item = (&'static str, &'static Value)> {
    template()["Parameters"].as_object().unwrap().iter().map(|(name, parameter)| (name.as_str(), parameter))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(scalar).collect()
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_list(parameter: &Value) -> bool {
    parameter["Type"] == "CommaDelimitedList"
}

/// Whether CloudFormation accepts a value. A pattern holds for the whole value
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>).
fn accepts(parameter: &Value, value: &str) -> bool {
    let parts: Vec<&str> = if is_list(parameter) { value.split(',').collect() } else { vec![value] };
    let fits = |part: &str| {
        let is_allowed = parameter["AllowedValues"].is_null()
            || texts(&parameter["AllowedValues"]).iter().any(|allowed| allowed == part);
        let mut schema = json!({"type": "string"});
        for (name, of_schema) in [("AllowedPattern", "pattern"), ("MinLength", "minLength"), ("MaxLength", "maxLength")]
        {
            if !parameter[name].is_null() {
                schema[of_schema] = parameter[name].clone();
            }
        }
        is_allowed && jsonschema::is_valid(&schema, &json!(part))
    };
    parts.into_iter().all(fits)
}

/// Any value that a parameter accepts.
fn accepted(parameter: &'static Value) -> BoxedStrategy<String> {
    if !parameter["AllowedValues"].is_null() {
        let one = select(texts(&parameter["AllowedValues"]));
        return if is_list(parameter) {
            prop::collection::vec(one, 1..4).prop_map(|values| values.join(",")).boxed()
        } else {
            one.boxed()
        };
    }
    let Some(pattern) = parameter["AllowedPattern"].as_str() else {
        // Names of resources and numbers, which the functions do not read.
        let default = scalar(&parameter["Default"]);
        return if is_list(parameter) {
            select(vec![default, "a,b".to_owned()]).boxed()
        } else {
            Just(default).boxed()
        };
    };
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).unwrap();
    // In CloudFormation's patterns \d is an ASCII digit.
    let values = string_regex(&inner.replace(r"\d", "[0-9]")).unwrap();
    let longest = parameter["MaxLength"].as_u64().map_or(usize::MAX, |longest| usize::try_from(longest).unwrap());
    values.prop_filter("too long", move |value| value.encode_utf16().count() <= longest).boxed()
}

/// What a rule computes.
fn is_true(rule: &Value, values: &BTreeMap<String, String>) -> bool {
    let value = |operand: &Value| match operand["Ref"].as_str() {
        Some(name) => values[name].clone(),
        None => operand.as_str().unwrap().to_owned(),
    };
    let (function, argument) = rule.as_object().unwrap().iter().next().unwrap();
    let arguments = argument.as_array().unwrap();
    match function.as_str() {
        "Fn::And" => arguments.iter().all(|rule| is_true(rule, values)),
        "Fn::Or" => arguments.iter().any(|rule| is_true(rule, values)),
        "Fn::Not" => !is_true(&arguments[0], values),
        "Fn::Equals" => value(&arguments[0]) == value(&arguments[1]),
        "Fn::EachMemberIn" => {
            value(&arguments[0]).split(',').all(|member| texts(&arguments[1]).contains(&member.into()))
        }
        other => panic!("{other} in a rule"),
    }
}

/// The rules that values break.
fn broken(values: &BTreeMap<String, String>) -> Vec<&'static str> {
    let rules = template()["Rules"].as_object().unwrap().iter();
    let holds = |rule: &Value| {
        rule["Assertions"].as_array().unwrap().iter().all(|assertion| is_true(&assertion["Assert"], values))
    };
    rules.filter(|(_, rule)| !holds(rule)).map(|(name, _)| name.as_str()).collect()
}

fn defaults() -> BTreeMap<String, String> {
    parameters().map(|(name, parameter)| (name.to_owned(), scalar(&parameter["Default"]))).collect()
}

fn with(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    defaults().into_iter().chain(changes).collect()
}

#[test]
fn every_value_that_the_template_accepts_the_configuration_of_every_function_accepts() {
    let source = text("template.yaml");
    let names: Vec<&str> = parameters().map(|(name, _)| name).collect();
    let strategies: Vec<BoxedStrategy<String>> = parameters().map(|(_, parameter)| accepted(parameter)).collect();
    let runs = Runs { cases: CASES, max_global_rejects: 100_000, max_local_rejects: 1_000_000, ..Runs::default() };
    let mut runner = TestRunner::new(Runs { failure_persistence: None, ..runs });
    runner
        .run(&strategies, |values| {
            let values: BTreeMap<String, String> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
            prop_assume!(broken(&values).is_empty());
            for (function, variables) in Template::parse_with(&source, &values).unwrap().functions {
                let read = Config::from_variables(&variables);
                prop_assert!(read.is_ok(), "{function}: {}", read.unwrap_err());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_template_refuses_what_the_functions_would_refuse_at_their_start() {
    let long = "a".repeat(41);
    for (name, refused) in [
        ("Issuer", "https://auth.example.com/"),
        ("Audience", ""),
        ("Audience", "https://auth.example.com"),
        ("DomainName", "-a.example.com"),
        ("DomainName", "example"),
        ("CertificateArn", "auth.example.com"),
        ("HostedZoneId", "example.com"),
        ("KmsKeyArn", "alias/latchkey"),
        ("EventBusArn", "default"),
        ("EventBusArn", "arn:aws:events:us-east-1:000000000000:rule/latchkey"),
        ("PermissionsBoundary", "boundary"),
        ("AndroidAppHash", "FA+9qCX9VS"),
        ("FcmBaseUrl", ""),
        ("DefaultOrganization", "a b"),
        ("DefaultRegion", "ZZ"),
        ("DefaultRegion", "Nepal"),
        ("AllowedCountries", "NP,ZZ"),
        ("AppName", ""),
        ("AppName", long.as_str()),
        ("AppName", "Call 123456"),
        ("AppName", "@himal"),
        ("AppSite", "two\nlines"),
        ("WebDomain", "example"),
        ("WebDomain", "-a.example.com"),
        ("Languages", "fr"),
        ("Languages", "en,xx"),
        ("SmsRoutes", "977"),
        ("SmsRoutes", "977=pigeon"),
        ("SmsRoutes", "x=sns"),
        ("SmsRoutes", "977=sns;"),
        ("SnsSenderId", "12345"),
        ("SnsSenderId", "ab"),
        ("SnsMaxPrice", "0"),
        ("SnsMaxPrice", "0.00"),
        ("SnsOriginationNumber", "+1 555"),
        ("FirebaseProjectId", "Himal"),
        ("FirebaseJwksUrl", "nowhere"),
        ("CodeAttempts", "0"),
        ("CodeAttempts", "1.5"),
        ("CodeAttempts", "1e3"),
        ("CodeLifetimeSeconds", "59"),
        ("CodeLifetimeSeconds", "9999999999"),
        ("SendWaitsSeconds", "30,"),
        ("UndoHours", "721"),
        ("RefreshGraceSeconds", "3601"),
        ("GatewayTimeoutMilliseconds", "499"),
        ("GatewayTimeoutMilliseconds", "12001"),
    ] {
        let parameter = &template()["Parameters"][name];
        assert!(!accepts(parameter, refused), "{name} {refused:?}");
    }
}

#[test]
fn names_that_people_have_are_accepted() {
    for (name, value) in [
        ("AppName", "1mg"),
        ("AppName", "Pathao 24x7"),
        // With a zero-width joiner, as Nepali spells it.
        ("AppName", "र्\u{200d}याल"),
        ("WebDomain", "163.com"),
        ("WebDomain", "1-800-flowers.com"),
        ("WebDomain", "xn--l1acc.example.com"),
        ("SnsSenderId", "A-1"),
        ("SnsMaxPrice", "0.10"),
        ("SendWaitsSeconds", "30"),
        ("AllowedCountries", "NP,IN"),
        ("Languages", "ne,en"),
    ] {
        assert!(accepts(&template()["Parameters"][name], value), "{name} {value:?}");
    }
}

#[test]
fn parameters_that_need_each_other_are_set_together() {
    for (changes, rule) in [
        (&[("SendSubnetIds", "subnet-1,subnet-2")][..], "SubnetsHaveSecurityGroups"),
        (&[("SendSecurityGroupIds", "sg-1")], "SubnetsHaveSecurityGroups"),
        (&[("SnsIndiaEntityId", "1001")], "IndiaHasBothIds"),
        (&[("SnsIndiaTemplateId", "1007")], "IndiaHasBothIds"),
        (&[("DomainName", "auth.example.com")], "DomainHasCertificate"),
    ] {
        assert_eq!(broken(&with(changes)), [rule], "{changes:?}");
    }
    for changes in [
        &[][..],
        &[("SendSubnetIds", "subnet-1,subnet-2"), ("SendSecurityGroupIds", "sg-1")],
        &[("SnsIndiaEntityId", "1001"), ("SnsIndiaTemplateId", "1007")],
        &[("DomainName", "auth.example.com"), ("CertificateArn", "arn:aws:acm:us-east-1:000000000000:certificate/1")],
    ] {
        assert_eq!(broken(&with(changes)), [""; 0], "{changes:?}");
    }
}

#[test]
fn every_default_is_accepted() {
    for (name, parameter) in parameters() {
        assert!(accepts(parameter, &scalar(&parameter["Default"])), "{name}");
    }
}

#[test]
fn the_template_lists_every_country_of_the_numbering_plan() {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|first| letters().map(move |second| [first, second]));
    let codes = codes.map(|code| String::from_utf8(code.to_vec()).unwrap());
    let known: Vec<String> = codes.filter(|code| NumberingPlan::country(code).is_ok()).collect();
    assert_eq!(texts(&template()["Parameters"]["DefaultRegion"]["AllowedValues"]), known);
    let listed = texts(&template()["Parameters"]["AllowedCountries"]["AllowedValues"]);
    assert_eq!(listed, [&["".to_owned(), "*".to_owned()], &known[..]].concat());
}

#[test]
fn the_template_lists_every_language_of_messages() {
    let mut listed = texts(&template()["Parameters"]["Languages"]["AllowedValues"]);
    assert_eq!(listed.remove(0), "", "all languages");
    let known: Vec<&str> = Languages::default().iter().map(Language::tag).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_issuer_is_the_configured_url_else_the_domain_else_the_apis_own_url() {
    let issuer = |changes: &[(&str, &str)]| {
        let template = Template::parse_with(&text("template.yaml"), &with(changes)).unwrap();
        let issuers = template.functions.values().map(|variables| variables["ISSUER"].clone());
        let issuers: std::collections::BTreeSet<String> = issuers.collect();
        assert_eq!(issuers.len(), 1, "all functions have the same");
        issuers.into_iter().next().unwrap()
    };
    // A resource's attribute reads as the resource's name.
    assert_eq!(issuer(&[]), "Api");
    let domain = ("DomainName", "auth.example.com");
    assert_eq!(issuer(&[domain]), "https://auth.example.com");
    assert_eq!(issuer(&[domain, ("Issuer", "https://example.com/auth")]), "https://example.com/auth");
    let endpoint = json!({"Fn::GetAtt": "Api.ApiEndpoint"});
    let variable = &template()["Globals"]["Function"]["Environment"]["Variables"]["ISSUER"];
    assert_eq!(variable["Fn::If"][2]["Fn::If"][2], endpoint);
}
