//! What the keys of JSON objects say, whoever wrote them: one table of spellings.
//!
//! A key is compared without case, blanks, `_`, `-` and dots, as those of appliances are
//! (`network/aliases.rs`), and once more without the wrapper it may stand in (`data.`, `fields.` …). The answer is
//! remembered by the key's number, so that a key that was seen before costs one look into an array. What
//! lines made of made-up keys can make it remember is bounded by the table of names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use crate::decode::network::{self, Meaning, Side};
use crate::event::{FieldId, names};

/// Longest key of the table, as compared.
const MAX_KEY: usize = 48;

/// What a value under some key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Key {
    Level,
    Message,
    Template,
    Time,
    Logger,
    Thread,
    Pid,
    Caller,
    File,
    LineNumber,
    Function,
    Service,
    Trace,
    Span,
    Transaction,
    Stack,
    ErrorType,
    ErrorMessage,
    /// Who connected, as a server saw it.
    Peer,
    /// Who asked, as somebody says.
    Client,
    Status,
    Request,
    Method,
    Target,
    Query,
    Host,
    Agent,
    Referrer,
    Bytes,
    Seconds,
    Forwarded,
    User,
    Operation,
    Result,
    Success,
    Error,
    Reason,
}

/// How many there are.
pub(super) const KEYS: usize = Key::Reason as usize + 1;

/// The names of a line's fields are one of these: an end of a connection, an attack, a name that objects of a
/// known product have, one of ECS that says who or what the line is about.
pub(super) const SOURCE: u8 = 1;
pub(super) const DESTINATION: u8 = 1 << 1;
pub(super) const ATTACK: u8 = 1 << 2;
pub(super) const PRODUCT: u8 = 1 << 3;
pub(super) const ECS: u8 = 1 << 4;
/// A name that Suricata, Zeek or Kubernetes gives.
pub(super) const DECODED: u8 = 1 << 5;
/// Any of them.
pub(super) const TOLD: u8 = SOURCE | DESTINATION | ATTACK | PRODUCT | ECS;
/// The role was looked up.
const LOOKED_UP: u8 = 1 << 7;
/// No key.
const NONE: u8 = u8::MAX;

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// The number of what it is, or [`NONE`].
    pub(super) key: u8,
    /// What it says for the line being an appliance's.
    pub(super) weight: u8,
    pub(super) traits: u8,
}

const UNKNOWN: Role = Role { key: NONE, weight: 0, traits: 0 };

use Key::{
    Agent, Bytes, Caller, Client, Error, ErrorMessage, ErrorType, File, Forwarded, Function, Host,
    Level, LineNumber, Logger, Message, Method, Operation, Peer, Pid, Query, Reason, Referrer,
    Request, Result, Seconds, Service, Span, Stack, Status, Success, Target, Template, Thread,
    Time, Trace, Transaction, User,
};

const SPELLINGS: &[(Key, &str)] = &[
    (
        Level,
        "level loglevel levelname lvl severity severitytext @l level.name logseverity 日志级别 级别",
    ),
    (
        Message,
        "message msg @m renderedmessage shortmessage fullmessage logmessage text 消息 日志内容",
    ),
    (Template, "@mt messagetemplate"),
    (
        Time,
        "@t starttime eventtime datetime asctime logtime createdat startedat requestreceivedtimestamp timelocal timeiso8601 \
         edgestarttimestamp date timestampms instantepochsecond eventtimestamp occurtime datestart 时间 发生时间 操作时间 登录时间",
    ),
    (Query, "query querystring args csuriquery requestquery reqquery httpquery"),
    (
        Logger,
        "logger loggername logger_name sourcecontext category target name component classname class",
    ),
    (Thread, "thread threadname thread_name thread_id threadid"),
    (Pid, "pid processid process_id"),
    (Caller, "caller source_location sourcelocation"),
    (File, "filename file sourcefile pathname"),
    (LineNumber, "lineno line linenumber lineo"),
    (Function, "func function funcname method_name methodname"),
    (
        Service,
        "service servicename service_name app application appname app_name applicationname springapplicationname",
    ),
    (Trace, "traceid trace_id xb3traceid ddtraceid @tr otelTraceID traceid128"),
    (Span, "spanid span_id xb3spanid ddspanid @sp otelSpanID"),
    (Transaction, "transactionid requestid reqid request_id correlationid xrequestid"),
    (
        Stack,
        "stacktrace stack exception @x excinfo exctext throwable errstack errorstack exceptionstacktrace \
         thrownextendedstacktrace errorverbose 异常 堆栈",
    ),
    (
        ErrorType,
        "errtype errname errorname errorclass errorkind thrownname exceptionclass exceptiontype exceptionexceptionclass \
         exceptionname errorclassname",
    ),
    (
        ErrorMessage,
        "errmessage errmsg thrownmessage exceptionmessage exceptionexceptionmessage errormsg",
    ),
    (
        Peer,
        "remoteaddr remoteaddress remoteip remotehost downstreamremoteaddress downstreamdirectremoteaddress \
         requestremoteip requestremoteaddr reqremoteaddress httprequestremoteip networkpeerip peeraddr clientaddr \
         clientaddress originaddress cip",
    ),
    (
        Client,
        "clientip client clienthost ip ipaddr ipaddress realip xrealip httpxrealip requestclientip networkclientip userip loginip \
         sourceipaddress sourceaddress srcip sourceip fromip hostip requestip httpclientip 客户端ip 登录ip 来源ip ip地址",
    ),
    (
        Status,
        "statuscode httpstatus httpstatuscode responsecode responsestatus httpresponsecode httpcode scstatus resstatuscode \
         responsestatuscode httpresponsestatus httpresponsestatuscode edgeresponsestatus 响应码 状态码",
    ),
    (Request, "request requestline"),
    (
        Method,
        "method requestmethod httpmethod httprequestmethod reqmethod csmethod clientrequestmethod 请求方法",
    ),
    (
        Target,
        "uri url path requesturi requesturl requestpath requri requrl reqpath urlpath httpurl httppath httptarget httproute \
         csuristem originalpath xenvoyoriginalpath httprequestrequesturl fullpath clientrequesturi 请求路径 请求地址",
    ),
    (
        Host,
        "host httphost authority servername vhost virtualhost requesthost reqheadershost cshost requestauthority clientrequesthost",
    ),
    (
        Agent,
        "useragent httpuseragent ua agent reqheadersuseragent requestheadersuseragent headersuseragent csuseragent requestuseragent httprequestuseragent clientrequestuseragent",
    ),
    (
        Referrer,
        "referer referrer httpreferer httpreferrer reqheadersreferer requestheadersreferer csreferer httprequestreferer",
    ),
    (
        Bytes,
        "bodybytessent bytessent bytes size contentlength responsesize responselength resbytes scbytes responsebytes \
         ressize httpresponsesize responsebodysize rescontentlength rescontentlength",
    ),
    (Seconds, "requesttime upstreamresponsetime"),
    (
        Forwarded,
        "xforwardedfor httpxforwardedfor xff requestheadersxforwardedfor reqheadersxforwardedfor forwardedfor",
    ),
    (
        User,
        "user username usrname loginname loginuser userlogin useraccount account accountname uname remoteuser principal operator login_id \
         currentuser detailsusername authusername userusername 用户 用户名 账号 登录名",
    ),
    (
        Operation,
        "event eventtype eventname action activity operation operationtype op opt type eventaction eventcategory auditaction auditevent logtype \
         actiontype optype 操作 操作类型 事件 类型 动作",
    ),
    (
        Result,
        "status result outcome state statusvalue statuslabel resultcode authresult loginresult eventresult eventoutcome 结果 状态",
    ),
    (Success, "success successful succeeded ok issuccess loginsuccess 是否成功"),
    (Error, "error err errorcode"),
    (Reason, "reason failurereason failreason errorreason 原因 失败原因"),
];

/// Wrappers that say nothing of what stands in them.
const WRAPPERS: &[&str] = &[
    "data.",
    "fields.",
    "properties.",
    "details.",
    "detail.",
    "payload.",
    "attributes.",
    "context.",
    "extra.",
    "record.",
    "body.",
    "event.",
    "@fields.",
    "mdc.",
    "contextMap.",
];

/// Words of names that hardly stand for anything but an attack.
const ATTACKS: &[&str] = &[
    "attack",
    "threat",
    "virus",
    "signature",
    "malware",
    "vuln",
    "攻击",
    "威胁",
    "病毒",
    "漏洞",
    "木马",
    "入侵",
];

type Table = HashMap<Box<[u8]>, Key, FixedState>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    let mut buffer = [0; MAX_KEY];
    for (key, spellings) in SPELLINGS {
        for name in spellings.split_ascii_whitespace() {
            if let Some(plain) = plain(name, &mut buffer) {
                table.entry(plain.into()).or_insert(*key);
            }
        }
    }
    table
});

/// A key as it is compared; None when it is longer than any known one.
fn plain<'b>(key: &str, buffer: &'b mut [u8; MAX_KEY]) -> Option<&'b [u8]> {
    let mut length = 0;
    for byte in key.bytes().filter(|byte| !matches!(byte, b' ' | b'_' | b'-' | b'.')) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length)
}

/// A name without the wrapper around it.
pub(super) fn inside(name: &str) -> &str {
    let within = |wrapper: &str| {
        let (start, rest) = name.split_at_checked(wrapper.len())?;
        start.eq_ignore_ascii_case(wrapper).then_some(rest)
    };
    WRAPPERS.iter().find_map(|wrapper| within(wrapper)).unwrap_or(name)
}

/// What a name says, without memory.
fn find(name: &str) -> Role {
    let mut buffer = [0; MAX_KEY];
    let inner = || inside(name);
    let mut of = |name: &str| TABLE.get(plain(name, &mut buffer)?).copied();
    let key = of(name).or_else(|| of(inner())).map_or(NONE, |key| key as u8);
    let meaning = network::meaning(name).or_else(|| network::meaning(inner()));
    let mut traits = LOOKED_UP;
    match meaning {
        Some(Meaning::Address(Side::Source)) => traits |= SOURCE,
        Some(Meaning::Address(Side::Destination)) => traits |= DESTINATION,
        Some(Meaning::Attack | Meaning::AttackCategory) => {
            let lower = name.to_ascii_lowercase();
            if ATTACKS.iter().any(|word| lower.contains(word)) {
                traits |= ATTACK;
            }
        }
        _ => {}
    }
    if matches!(name, "flow_id" | "id.orig_h" | "auditID") {
        traits |= DECODED;
    }
    if matches!(name, "deploymentid" | "auth.display_name" | "output") {
        traits |= PRODUCT;
    }
    let weight = meaning.map_or(0, Meaning::weight);
    Role { key, weight: u8::try_from(weight).unwrap_or(u8::MAX), traits }
}

/// Those of our own names: a line that speaks ECS means what they mean.
fn of_known(id: FieldId) -> Role {
    let about = match id {
        names::SOURCE_IP
        | names::DESTINATION_IP
        | names::EVENT_ACTION
        | names::EVENT_CATEGORY
        | names::URL_ORIGINAL
        | names::HTTP_RESPONSE_STATUS_CODE => ECS,
        _ => 0,
    };
    let key = match id {
        names::MESSAGE => Message,
        names::LOG_LEVEL => Level,
        names::LOG_LOGGER => Logger,
        names::USER_NAME => User,
        names::SOURCE_IP | names::CLIENT_IP => Client,
        names::EVENT_ACTION => Operation,
        names::EVENT_OUTCOME => Result,
        names::TRACE_ID => Trace,
        names::SPAN_ID => Span,
        names::ERROR_MESSAGE => ErrorMessage,
        names::ERROR_TYPE => ErrorType,
        names::ERROR_STACK_TRACE => Stack,
        _ => return Role { traits: about | LOOKED_UP, ..UNKNOWN },
    };
    Role { key: key as u8, weight: 0, traits: about | LOOKED_UP }
}

thread_local! {
    static KNOWN: RefCell<Vec<Role>> = const { RefCell::new(Vec::new()) };
}

/// Shows what each of some fields' names says, with its place among them.
pub(super) fn each(ids: impl Iterator<Item = FieldId>, mut see: impl FnMut(usize, Role)) {
    KNOWN.with_borrow_mut(|known| {
        for (at, id) in ids.enumerate() {
            let role = match known.get(id.0 as usize) {
                Some(role) if role.traits != 0 => *role,
                _ => learn(known, id),
            };
            see(at, role);
        }
    });
}

#[cold]
fn learn(known: &mut Vec<Role>, id: FieldId) -> Role {
    let place = id.0 as usize;
    if place >= known.len() {
        known.resize(place + 1, UNKNOWN);
    }
    let role = if place < names::KNOWN.len() { of_known(id) } else { find(id.name()) };
    if let Some(slot) = known.get_mut(place) {
        *slot = role;
    }
    role
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (name, expected) in [
            ("remote_addr", Some(Peer)),
            ("RemoteAddr", Some(Peer)),
            ("data.clientIp", Some(Client)),
            ("levelname", Some(Level)),
            ("@m", Some(Message)),
            ("res.statusCode", Some(Status)),
            ("request.headers.User-Agent", Some(Agent)),
            ("details.username", Some(User)),
            ("用户名", Some(User)),
            ("patient", None),
            ("", None),
        ] {
            assert_eq!(find(name).key, expected.map_or(NONE, |key| key as u8), "{name}");
        }
        for (name, attack) in
            [("attack_type", true), ("攻击名称", true), ("eventname", false), ("alert_name", false)]
        {
            assert_eq!(find(name).traits & ATTACK != 0, attack, "{name}");
        }
        assert_eq!(find(&"level".repeat(50)).key, NONE);
    }

    #[test]
    fn no_spelling_means_two_things() {
        let mut seen: HashMap<Vec<u8>, Key> = HashMap::new();
        let mut buffer = [0; MAX_KEY];
        for (key, spellings) in SPELLINGS {
            for name in spellings.split_ascii_whitespace() {
                let plain = plain(name, &mut buffer).expect("no longer than the longest").to_vec();
                let before = seen.insert(plain, *key);
                assert!(before.is_none_or(|before| before == *key), "{name}");
            }
        }
    }
}
