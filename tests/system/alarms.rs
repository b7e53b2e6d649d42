//! The alarms of `template.yaml`, each made to go on: those on metrics of the functions by what the functions write, and those
//! on AWS's own metrics by points of the metrics that AWS documents. The points of a test stand for each period that the alarm
//! evaluates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Person, World};

use crate::workspace::{resource, resources, template, text};

/// The metrics of AWS that an alarm may name, with all their dimensions.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>,
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html>,
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
const OF_AWS: [(&str, &str, &[&str]); 10] = [
    ("AWS/ApiGateway", "Count", &["ApiId"]),
    ("AWS/ApiGateway", "5xx", &["ApiId"]),
    ("AWS/ApiGateway", "Latency", &["ApiId"]),
    ("AWS/Lambda", "Errors", &["FunctionName"]),
    ("AWS/Lambda", "Throttles", &["FunctionName"]),
    ("AWS/Lambda", "IteratorAge", &["FunctionName"]),
    ("AWS/DynamoDB", "ReadThrottleEvents", &["TableName"]),
    ("AWS/DynamoDB", "WriteThrottleEvents", &["TableName"]),
    ("AWS/SNS", "SMSMonthToDateSpentUSD", &[]),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", &["QueueName"]),
];

type Dimensions = BTreeMap<String, String>;

/// One value of a metric.
#[derive(Clone, Debug)]
struct Point {
    namespace: String,
    name: String,
    dimensions: Dimensions,
    value: f64,
}

fn point(namespace: &str, name: &str, dimensions: &[(&str, &str)], value: f64) -> Point {
    let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Point { namespace: namespace.to_owned(), name: name.to_owned(), dimensions, value }
}

/// The points of a document in the embedded metric format.
fn points(document: &Value) -> Vec<Point> {
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    let names = directive["Dimensions"][0].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let dimensions: Dimensions =
        names.map(|name| (name.clone(), document[&name].as_str().unwrap().to_owned())).collect();
    let metrics = directive["Metrics"].as_array().unwrap().iter();
    let of_metric = |metric: &Value| {
        let name = metric["Name"].as_str().unwrap().to_owned();
        let value = document[&name].as_f64().unwrap();
        Point { namespace: "Latchkey/stack".to_owned(), name, dimensions: dimensions.clone(), value }
    };
    metrics.map(of_metric).collect()
}

/// A value of the template with the defaults of parameters. A resource has its logical id.
fn resolved(value: &Value) -> String {
    if let Some(name) = value["Ref"].as_str() {
        return template()["Parameters"][name]["Default"].as_str().unwrap_or(name).to_owned();
    }
    if let Some(attribute) = value["Fn::GetAtt"].as_str() {
        return attribute.split('.').next().unwrap().to_owned();
    }
    let text = value["Fn::Sub"].as_str().or(value.as_str()).map_or_else(|| value.to_string(), str::to_owned);
    text.replace("${AWS::StackName}", "stack")
}

fn statistic(name: &str, values: &[f64]) -> Option<f64> {
    match name {
        _ if values.is_empty() => None,
        "Sum" => Some(values.iter().sum()),
        // Each test gives one point, whose percentiles are itself.
        "Maximum" | "p99" => values.iter().copied().reduce(f64::max),
        _ => panic!("{name}"),
    }
}

/// What an alarm compares with its threshold, given the points of one period. A query with groups has several values.
fn values(alarm: &Value, points: &[Point]) -> Vec<f64> {
    let of_metric = |metric: &Value, stat: &str| {
        let dimensions: Dimensions = metric["Dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|dimension| (dimension["Name"].as_str().unwrap().to_owned(), resolved(&dimension["Value"])))
            .collect();
        let (namespace, name) = (resolved(&metric["Namespace"]), metric["MetricName"].as_str().unwrap());
        assert_is_a_metric(&namespace, name, dimensions.keys().map(String::as_str));
        let of_it = points.iter().filter(|point| {
            (&point.namespace, point.name.as_str(), &point.dimensions) == (&namespace, name, &dimensions)
        });
        statistic(stat, &of_it.map(|point| point.value).collect::<Vec<_>>())
    };
    let properties = &alarm["Properties"];
    let Some(queries) = properties["Metrics"].as_array() else {
        let stat = properties["Statistic"].as_str().or(properties["ExtendedStatistic"].as_str()).unwrap();
        return of_metric(properties, stat).into_iter().collect();
    };
    if let [query] = queries.as_slice() {
        return select(&resolved(&query["Expression"]), points);
    }
    let mut known: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for query in queries.iter().filter(|query| !query["MetricStat"].is_null()) {
        let stat = &query["MetricStat"];
        assert_eq!(query["ReturnData"], false);
        known.insert(query["Id"].as_str().unwrap(), of_metric(&stat["Metric"], stat["Stat"].as_str().unwrap()));
    }
    assert!(known.len() <= 10, "an alarm has at most ten metrics");
    let stats = queries.iter().map(|query| &query["MetricStat"]).filter(|stat| !stat.is_null());
    let periods: BTreeSet<u64> = stats.map(|stat| stat["Period"].as_u64().unwrap()).collect();
    assert_eq!(periods.len(), 1, "its metrics have one period");
    let mut expressions: Vec<&Value> = queries.iter().filter(|query| query["MetricStat"].is_null()).collect();
    // The one that is returned needs the others.
    expressions.sort_by_key(|query| query["ReturnData"] != false);
    let mut last = None;
    for query in expressions {
        last = Expression { text: query["Expression"].as_str().unwrap(), known: &known }.value();
        known.insert(query["Id"].as_str().unwrap(), last);
    }
    last.into_iter().collect()
}

fn assert_is_a_metric<'a>(namespace: &str, name: &str, dimensions: impl Iterator<Item = &'a str>) {
    let dimensions: BTreeSet<&str> = dimensions.collect();
    let known = OF_AWS.iter().any(|(of, metric, with)| {
        (*of, *metric) == (namespace, name) && with.iter().copied().collect::<BTreeSet<_>>() == dimensions
    });
    assert!(known || namespace == "Latchkey/stack", "{namespace} {name} {dimensions:?}");
}

/// A query of CloudWatch Metrics Insights, of the form that the alarms have.
fn select(query: &str, points: &[Point]) -> Vec<f64> {
    let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = query.strip_prefix("SELECT SUM(").unwrap_or_else(|| panic!("{query}"));
    let (name, rest) = rest.split_once(") FROM SCHEMA(").unwrap();
    let (schema, rest) = rest.split_once(')').unwrap();
    let mut schema = schema.split(", ");
    let namespace = schema.next().unwrap().trim_matches('"');
    let dimensions: BTreeSet<&str> = schema.collect();
    let (conditions, group) = rest.split_once(" GROUP BY ").map_or((rest, None), |(before, by)| (before, Some(by)));
    let conditions = conditions.trim().strip_prefix("WHERE ").unwrap_or_default();
    let holds = |point: &Point| {
        conditions.split(" AND ").filter(|condition| !condition.is_empty()).all(|condition| {
            let (name, differs, value) = match condition.split_once(" != ") {
                Some((name, value)) => (name, true, value),
                None => condition.split_once(" = ").map(|(name, value)| (name, false, value)).unwrap(),
            };
            let value = value.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
            (point.dimensions[name] == value) != differs
        })
    };
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for point in points.iter().filter(|point| {
        (point.namespace.as_str(), point.name.as_str()) == (namespace, name)
            && point.dimensions.keys().map(String::as_str).collect::<BTreeSet<_>>() == dimensions
            && holds(point)
    }) {
        *sums.entry(group.map_or("", |group| &point.dimensions[group])).or_default() += point.value;
    }
    sums.into_values().collect()
}

/// An expression of metric math, of the forms that the alarms have. What needs a metric without a point has no value.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>
struct Expression<'a> {
    text: &'a str,
    known: &'a BTreeMap<&'a str, Option<f64>>,
}

impl Expression<'_> {
    fn value(&self) -> Option<f64> {
        let points = || self.known.values().flatten().copied();
        match self.text {
            // A sum of what is there is the same as with zeros for what is not.
            "SUM(METRICS())" | "SUM(FILL(METRICS(), 0))" => return statistic("Sum", &points().collect::<Vec<_>>()),
            "MAX(METRICS())" => return points().reduce(f64::max),
            _ => {}
        }
        self.part(self.text)
    }

    fn part(&self, text: &str) -> Option<f64> {
        let text = text.trim();
        if let Some(parts) = arguments(text, "IF(") {
            let [condition, then, otherwise] = parts.try_into().unwrap();
            return self.part(if self.part(condition)? != 0.0 { then } else { otherwise });
        }
        if let Some(parts) = arguments(text, "SUM([") {
            let points = parts.iter().map(|part| part.trim_end_matches(']')).filter_map(|part| self.part(part));
            return statistic("Sum", &points.collect::<Vec<_>>());
        }
        if let Some(parts) = arguments(text, "FILL(") {
            return Some(self.part(parts[0]).unwrap_or_else(|| parts[1].trim().parse().unwrap()));
        }
        type Operator = (&'static str, fn(f64, f64) -> f64);
        let operators: [Operator; 6] = [
            (" AND ", |left, right| f64::from(u8::from(left != 0.0 && right != 0.0))),
            (" >= ", |left, right| f64::from(u8::from(left >= right))),
            (" < ", |left, right| f64::from(u8::from(left < right))),
            (" + ", |left, right| left + right),
            (" * ", |left, right| left * right),
            (" / ", |left, right| left / right),
        ];
        for (name, operate) in operators {
            if let Some(at) = outside_of_parentheses(text, name) {
                return Some(operate(self.part(&text[..at])?, self.part(&text[at + name.len()..])?));
            }
        }
        text.parse().ok().or_else(|| *self.known.get(text).unwrap_or_else(|| panic!("{text:?} in {}", self.text)))
    }
}

/// The arguments of a call, if the whole text is one.
fn arguments<'a>(text: &'a str, call: &str) -> Option<Vec<&'a str>> {
    let mut rest = text.strip_prefix(call)?.strip_suffix(')')?;
    if outside_of_parentheses(rest, ")").is_some() {
        // The last parenthesis belongs to another call.
        return None;
    }
    let mut parts = Vec::new();
    while let Some(at) = outside_of_parentheses(rest, ", ") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    Some(parts)
}

fn outside_of_parentheses(text: &str, wanted: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        if depth == 0 && text[at..].starts_with(wanted) {
            return Some(at);
        }
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether an alarm is on after as many periods with these points as it evaluates.
fn is_on(id: &str, points: &[Point]) -> bool {
    let alarm = resource(id);
    let properties = &alarm["Properties"];
    assert_eq!(properties["TreatMissingData"], "notBreaching", "{id}");
    let threshold: f64 = resolved(&properties["Threshold"]).parse().unwrap();
    values(alarm, points).into_iter().any(|value| match properties["ComparisonOperator"].as_str().unwrap() {
        "GreaterThanOrEqualToThreshold" => value >= threshold,
        "GreaterThanThreshold" => value > threshold,
        "LessThanThreshold" => value < threshold,
        other => panic!("{other}"),
    })
}

/// The alarms that are on.
fn on(points: &[Point]) -> BTreeSet<&'static str> {
    resources("AWS::CloudWatch::Alarm").map(|(id, _)| id).filter(|id| is_on(id, points)).collect()
}

fn written(world: &World) -> Vec<Point> {
    world.metrics().iter().flat_map(points).collect()
}

fn phone(n: usize) -> String {
    format!("+97798410{n:05}")
}

async fn send(world: &World, n: usize) {
    world.keep_phone_secret(&phone(n));
    let call = world.post("/v1/otp/send", json!({"phone_number": phone(n)}));
    call.from(u8::try_from(n % 200 + 1).unwrap()).send().await;
}

async fn sign_in(world: &World, n: usize) {
    send(world, n).await;
    let code = world.code(&phone(n)).await;
    let call = world.submit(&phone(n), &code).from(u8::try_from(n % 200 + 1).unwrap());
    call.send().await.ok();
}

async fn world(variables: &[(&str, &str)]) -> World {
    World::with(&[&[("PUMPING_BUDGETS", "off")], variables].concat()).await
}

async fn fails(world: &World, gateway: &str, mode: &str) {
    world.fault(gateway, mode, 1_000).await;
}

#[tokio::test]
async fn no_alarm_is_on_when_people_sign_in() {
    let world = world(&[]).await;
    for n in 0..25 {
        sign_in(&world, n).await;
    }
    world.system.invoke("RotateKeysFunction", json!({"detail-type": "Scheduled Event"})).await.unwrap();
    assert_eq!(on(&written(&world)), BTreeSet::new());
}

#[tokio::test]
async fn codes_that_do_not_come_back_are_an_alarm_of_their_gateway() {
    for (gateway, alarm) in
        [("sparrow", "SparrowConversionAlarm"), ("sns", "SnsConversionAlarm"), ("twilio", "TwilioConversionAlarm")]
    {
        let world = world(&[("SMS_ROUTES", &format!("*={gateway}"))]).await;
        for n in 0..8 {
            sign_in(&world, n).await;
        }
        assert_eq!(on(&written(&world)), BTreeSet::new(), "eight of eight");
        for n in 8..20 {
            send(&world, n).await;
        }
        assert_eq!(on(&written(&world)), BTreeSet::new(), "forty of a hundred are enough");
        send(&world, 20).await;
        assert_eq!(on(&written(&world)), BTreeSet::from([alarm]), "eight of twenty-one came back");
    }
}

#[tokio::test]
async fn no_code_that_comes_back_of_five_is_an_alarm() {
    let world = world(&[]).await;
    for n in 0..4 {
        send(&world, n).await;
    }
    assert_eq!(on(&written(&world)), BTreeSet::new());
    send(&world, 4).await;
    assert_eq!(on(&written(&world)), BTreeSet::from(["SignInsStoppedAlarm"]));
    sign_in(&world, 5).await;
    assert_eq!(on(&written(&world)), BTreeSet::new());
}

#[tokio::test]
async fn a_gateway_that_refuses_us_is_an_alarm_and_one_that_is_down_is_none() {
    let world = world(&[("SMS_ROUTES", "*=sparrow,sns")]).await;
    fails(&world, "sparrow", "error").await;
    send(&world, 1).await;
    assert_eq!(on(&written(&world)), BTreeSet::new());
    world.clear_faults().await;
    fails(&world, "sparrow", "refuse").await;
    send(&world, 2).await;
    assert_eq!(on(&written(&world)), BTreeSet::from(["GatewayRefusalAlarm"]));
}

#[tokio::test]
async fn a_gateway_without_credentials_is_an_alarm() {
    let world = world(&[("SMS_ROUTES", "*=sparrow,sns")]).await;
    let empty = json!({"SecretId": "GatewaySecret", "SecretString": "{}", "ClientRequestToken": "1".repeat(32)});
    world.secrets_manager("PutSecretValue", empty).await;
    world.advance(301);
    send(&world, 1).await;
    assert_eq!(on(&written(&world)), BTreeSet::from(["GatewayRefusalAlarm"]));
}

#[tokio::test]
async fn messages_that_a_gateway_blocks_are_an_alarm() {
    let world = world(&[("SMS_ROUTES", "*=twilio")]).await;
    world.add_fault(json!({"target": "twilio", "mode": "refuse", "times": 100, "code": 30450})).await;
    for n in 0..5 {
        send(&world, n).await;
    }
    assert_eq!(on(&written(&world)), BTreeSet::from(["GatewayBlocksAlarm"]));
}

#[tokio::test]
async fn sends_over_a_budget_are_an_alarm() {
    let world = World::with(&[("PUMPING_BUDGETS", "shadow")]).await;
    for n in 0..14 {
        send(&world, n).await;
    }
    assert!(on(&written(&world)).contains("OverBudgetAlarm"));
}

#[test]
fn more_messages_in_an_hour_than_expected_are_an_alarm() {
    let accepted = |count: f64| {
        let by = [("Country", "NP"), ("Gateway", "sparrow"), ("Outcome", "accepted")];
        let returned = point("Latchkey/stack", "CodesAccepted", &by[..2], count);
        [point("Latchkey/stack", "SmsAttempts", &by, count), returned]
    };
    assert_eq!(on(&accepted(500.0)), BTreeSet::new());
    assert_eq!(on(&accepted(501.0)), BTreeSet::from(["MessagesAlarm"]));
}

#[tokio::test]
async fn a_notice_that_is_not_delivered_is_an_alarm() {
    let world = world(&[]).await;
    let before: Person = world.sign_in(&phone(1)).await;
    let token = json!({"fcm_token": "phone"});
    world.call("PUT", "/v1/me/fcm-token").as_person(&before).json(token).send().await;
    fails(&world, "fcm", "error").await;
    world.advance(600);
    world.sign_in(&phone(1)).await;
    world.system.deliver_streams().await;
    assert_eq!(on(&written(&world)), BTreeSet::from(["NoticesFailedAlarm"]));
}

#[tokio::test]
async fn a_stored_item_that_nobody_can_read_is_an_alarm() {
    let world = World::publishing(&[]).await;
    world.sign_in(&phone(1)).await;
    world.system.deliver_streams().await;
    assert_eq!(on(&written(&world)), BTreeSet::new());
    let item = json!({"pk": {"S": "user#usr_01jd8x4n5t2qvzk7w3m9hpa6rc"}});
    world.dynamodb("PutItem", json!({"TableName": "UsersTable", "Item": item})).await;
    world.system.deliver_streams().await;
    assert_eq!(on(&written(&world)), BTreeSet::from(["EventsUnreadableAlarm"]));
}

#[tokio::test]
async fn a_key_that_does_not_rotate_is_an_alarm() {
    const DAY: u64 = 86_400;
    for other in ["SigningKeySecret", "CodeKeySecret"] {
        let world = world(&[]).await;
        let before = world.metrics().len();
        let ages = async || {
            world.system.invoke("RotateKeysFunction", json!({"detail-type": "Scheduled Event"})).await.unwrap();
        };
        world.advance(96 * DAY);
        ages().await;
        assert_eq!(world.metrics().len() - before, 2);
        assert_eq!(on(&written(&world)), BTreeSet::new());
        world.advance(DAY);
        world.secrets_manager("RotateSecret", json!({"SecretId": other})).await;
        ages().await;
        assert_eq!(on(&written(&world)), BTreeSet::from(["RotationOverdueAlarm"]), "{other} alone rotated");
    }
}

/// What AWS counts, and the alarm that it makes go on, from which value on.
#[test]
fn each_metric_of_aws_has_the_alarm_that_tells_of_it() {
    let api = [("ApiId", "Api")];
    let requests = point("AWS/ApiGateway", "Count", &api, 500.0);
    let failed = |count| [requests.clone(), point("AWS/ApiGateway", "5xx", &api, count)];
    assert_eq!(on(&failed(4.0)), BTreeSet::new(), "too few");
    let among_many = |count| {
        let requests = point("AWS/ApiGateway", "Count", &api, 1_000_000.0);
        on(&[requests, point("AWS/ApiGateway", "5xx", &api, count)])
    };
    assert_eq!((among_many(49.0), among_many(50.0)), (BTreeSet::new(), BTreeSet::from(["ApiErrorsAlarm"])));
    assert_eq!(on(&failed(5.0)), BTreeSet::from(["ApiErrorsAlarm"]));
    let many = [point("AWS/ApiGateway", "Count", &api, 501.0), point("AWS/ApiGateway", "5xx", &api, 5.0)];
    assert_eq!(on(&many), BTreeSet::new(), "less than one in a hundred");
    let latency = |milliseconds| [point("AWS/ApiGateway", "Latency", &api, milliseconds)];
    assert_eq!((on(&latency(4_999.0)), on(&latency(5_000.0))), (BTreeSet::new(), BTreeSet::from(["ApiLatencyAlarm"])));

    // What `publish` does not do in time, its stream keeps.
    for (function, _) in resources("AWS::Serverless::Function").filter(|(function, _)| *function != "PublishFunction") {
        let by = [("FunctionName", function)];
        let expected = match function {
            "DueFunction" | "NotifyFunction" => Some("BackgroundErrorsAlarm"),
            "RotateKeysFunction" => Some("RotationFailedAlarm"),
            _ => Some("FunctionErrorsAlarm"),
        };
        assert_eq!(on(&[point("AWS/Lambda", "Errors", &by, 1.0)]), expected.into_iter().collect(), "{function}");
        let throttled = on(&[point("AWS/Lambda", "Throttles", &by, 1.0)]);
        assert_eq!(throttled, BTreeSet::from(["FunctionThrottlesAlarm"]), "{function}");
    }
    for (function, alarm) in [("NotifyFunction", "NoticesLateAlarm"), ("PublishFunction", "EventsLateAlarm")] {
        let by = [("FunctionName", function)];
        let age = |milliseconds| on(&[point("AWS/Lambda", "IteratorAge", &by, milliseconds)]);
        assert_eq!((age(599_999.0), age(600_000.0)), (BTreeSet::new(), BTreeSet::from([alarm])));
    }
    let lost = [point("AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "LostEventsQueue")], 1.0)];
    assert_eq!(on(&lost), BTreeSet::from(["EventsLostAlarm"]));
    for (table, _) in resources("AWS::DynamoDB::Table") {
        for name in ["ReadThrottleEvents", "WriteThrottleEvents"] {
            let throttled = on(&[point("AWS/DynamoDB", name, &[("TableName", table)], 1.0)]);
            assert_eq!(throttled, BTreeSet::from(["StoreThrottlesAlarm"]), "{table} {name}");
        }
    }
    let spent = on(&[point("AWS/SNS", "SMSMonthToDateSpentUSD", &[], 1.0)]);
    assert_eq!(spent, BTreeSet::from(["SnsSpendAlarm"]), "of a budget of 0, with which it does not exist");
}

#[test]
fn each_alarm_tells_the_topic_and_stands_in_the_runbook_and_on_the_dashboard() {
    let operate = text("docs/operate.md");
    let dashboard = resource("Dashboard")["Properties"]["DashboardBody"]["Fn::Sub"][1]["Alarms"].to_string();
    let topic = json!([{"Ref": "AlarmTopicArn"}]);
    let if_any = json!({"Fn::If": ["HasAlarmTopic", topic, {"Ref": "AWS::NoValue"}]});
    for (id, alarm) in resources("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        // Deployments move back on these two.
        let always = ["ApiErrorsAlarm", "FunctionErrorsAlarm"].contains(&id);
        let tells = if always { &if_any } else { &topic };
        assert_eq!((&properties["AlarmActions"], &properties["OKActions"]), (tells, tells), "{id}");
        assert_eq!(alarm["Condition"].is_null(), always, "{id}");
        assert!(operate.contains(&format!("### {id}\n")), "{id}");
        assert!(dashboard.contains(&format!("${{{id}.Arn}}")), "{id}");
    }
}

#[test]
fn the_dashboard_is_one_that_cloudwatch_reads() {
    let body = resource("Dashboard")["Properties"]["DashboardBody"]["Fn::Sub"][0].as_str().unwrap();
    let body: Value = serde_json::from_str(&body.replace("${Alarms}", "")).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    // No two widgets share a place.
    let mut places = BTreeSet::new();
    for widget in widgets {
        let side = |name: &str| widget[name].as_u64().unwrap();
        for x in side("x")..side("x") + side("width") {
            for y in side("y")..side("y") + side("height") {
                assert!(x < 24 && places.insert((x, y)), "{widget}");
            }
        }
    }
}
