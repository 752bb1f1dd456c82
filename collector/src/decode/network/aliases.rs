//! What the keys of security appliances mean: one table of spellings, English and Chinese.
//!
//! A key is compared without case, blanks, `_`, `-`, `.` and a number in brackets behind it, so that
//! `src_ip`, `SrcIP`, `src IP` and `SrcIP(1003)` are one. A key longer than any in the table is none of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::event::{FieldId, names};

/// Longest key of the table, in bytes as compared.
const MAX_ALIAS: usize = 40;

/// Which end of a connection a value tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
    SourceNat,
    DestinationNat,
    /// Some address, the source's where nothing else is.
    Peer,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Address(Side),
    Port(Side),
    /// The protocol, by name or number.
    Protocol,
    /// What was done with the traffic.
    Action,
    User,
    /// An account that somebody uses on another host, the user's where no user is named.
    Account,
    /// The policy that decided, by name or number.
    Policy,
    PolicyId,
    /// The name of an attack, a virus, a signature.
    Attack,
    AttackCategory,
    Severity,
    /// Which kind of line it is.
    Kind,
    /// What somebody did.
    Operation,
    /// Whether it worked.
    Result,
    /// Prose.
    Text,
    Time,
    Seconds,
    /// Between which networks, in words.
    Direction,
    /// Nothing but the vendor's own name for it.
    Keep,
    /// Text of a field.
    Field(FieldId),
    /// Text of a field, in lower case.
    Lower(FieldId),
    /// A number of a field.
    Count(FieldId),
}

impl Meaning {
    /// What a key of this meaning says for a line being an appliance's: words that prose and other
    /// programs have too say little.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Meaning::Address(Side::Peer) | Meaning::Port(Side::Peer) => 1,
            Meaning::Address(_) | Meaning::Port(_) => 2,
            Meaning::Protocol | Meaning::Action | Meaning::Policy | Meaning::PolicyId => 1,
            Meaning::Attack | Meaning::AttackCategory => 1,
            Meaning::Kind | Meaning::Operation | Meaning::Result => 1,
            Meaning::User | Meaning::Account => 1,
            _ => 0,
        }
    }
}

/// The meaning of a key.
pub(crate) fn meaning(key: &str) -> Option<Meaning> {
    let mut buffer = [0; MAX_ALIAS];
    let length = plain(key, &mut buffer)?;
    let key = buffer.get(..length)?;
    let lengths = LENGTHS.get(usize::from(*key.first()?))?;
    if lengths >> length & 1 == 0 {
        return None;
    }
    TABLE.get(key).copied()
}

/// A key as it is compared; None when it is longer than any known one.
fn plain(key: &str, buffer: &mut [u8; MAX_ALIAS]) -> Option<usize> {
    let key = key.trim_start_matches(['(', '[', '{']);
    let key = match key.strip_suffix(')').and_then(|key| key.rsplit_once('(')) {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => key,
    };
    let mut length = 0;
    for byte in key.bytes().filter(|byte| !matches!(byte, b' ' | b'_' | b'-' | b'.' | b'\t')) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(length)
}

type Table = HashMap<&'static [u8], Meaning, foldhash::fast::FixedState>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rows = ALIASES.iter().flat_map(|(meaning, keys)| {
        keys.split_ascii_whitespace().map(|key| (key.as_bytes(), *meaning))
    });
    rows.collect()
});

/// By first byte, a bit for each length of the table's keys: most words of a line are told apart from all
/// of them without looking further.
static LENGTHS: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut lengths = [0; 256];
    for key in TABLE.keys() {
        if let Some(of_first) = key.first().and_then(|first| lengths.get_mut(usize::from(*first))) {
            *of_first |= 1 << key.len();
        }
    }
    lengths
});

use Meaning::{
    Account, Action, Address, Attack, AttackCategory, Count, Direction, Field, Kind, Lower,
    Operation, Policy, PolicyId, Port, Protocol, Result, Seconds, Severity, Text, Time, User,
};
use Side::{Destination, DestinationNat, Peer, Source, SourceNat};

const ALIASES: &[(Meaning, &str)] = &[
    (
        Address(Source),
        "src source sa srcip sourceip srcaddr srcaddress sourceaddr sourceaddress srcipaddr srcipaddress \
         sourceipaddress sip saddr sipaddr addrsrc ipsrc srcipv4 srcipv6 isrcip ssrcip srchost attackerip \
         attackip attackeraddress initiatorip srcaddrip sourceipv4 sourceipv6 sourceipaddr \
         源ip 源地址 源ip地址 源主机 源主机ip 来源ip 来源地址 来源ip地址 源ipv4 源ipv6 源 攻击ip 攻击源 攻击源ip 攻击源地址 \
         攻击者ip 攻击者 发起ip 发送方 发送方ip 源端ip",
    ),
    (
        Address(Destination),
        "dst destination da dstip destip destinationip dstaddr dstaddress destaddr destinationaddress dstipaddr \
         dstipaddress destinationipaddress dip daddr dipaddr addrdst ipdst dstipv4 dstipv6 idstip sdstip \
         dsthost targetip targetaddr victimip serverip responderip destipaddr destinationipv4 \
         destinationipv6 目的ip 目的地址 目的ip地址 目的主机 目的主机ip 目标ip 目标地址 目标ip地址 目标主机 目的 目的ipv4 目的ipv6 \
         受害ip 受害者ip 被攻击ip 服务器ip 服务器地址 接收方 接收方ip 目的端ip 资源ip 目标资产ip",
    ),
    (
        Address(Peer),
        "ip ipaddr ipaddress ip地址 clientip clientaddr clientaddress client cip remoteip remoteaddr \
         remoteaddress peeraddress peerip userip loginip fromip from addr address hostip callerip rip \
         客户端ip 客户端地址 登录ip 登陆ip 登录地址 登录源ip 用户ip 用户ip地址 操作ip 操作者ip 终端ip 终端地址 主机ip 访问ip 管理ip \
         客户端 接入ip 来访ip",
    ),
    (
        Address(SourceNat),
        "natsrcip natsrcipaddr nataddrsrc natsourceip sourcenatip srcnatip snatip natip natsrc srctranip \
         srctransip sourcetranslatedaddress transip tranip natsourceaddress xlatesrc srcxlatedip \
         转换后的ip 转换后ip 转换后源ip 转换后源地址 转换源ip nat源ip nat后源ip nat后ip nat地址 源nat地址",
    ),
    (
        Address(DestinationNat),
        "natdstip natdstipaddr nataddrdst natdestinationip destinationnatip dstnatip dnatip natdst \
         dsttranip dsttransip destinationtranslatedaddress natdestinationaddress dstxlatedip \
         转换后目的ip 转换后目的地址 转换目的ip nat目的ip nat后目的ip 目的nat地址",
    ),
    (
        Port(Source),
        "sport srcport sourceport spt portsrc isrcport ssrcport srcportnum 源端口 源端口号 来源端口 攻击源端口",
    ),
    (
        Port(Destination),
        "dport dstport destport destinationport dpt portdst idstport sdstport targetport serverport \
         目的端口 目的端口号 目标端口 目标端口号 服务端口 服务器端口",
    ),
    (
        Port(SourceNat),
        "natsrcport natportsrc natsourceport sourcenatport srcnatport snatport natsport srctranport \
         srctransport transsrcport sourcetranslatedport 转换后的端口 转换后端口 转换后源端口 nat源端口 nat后源端口",
    ),
    (
        Port(DestinationNat),
        "natdstport natportdst natdestinationport destinationnatport dstnatport dnatport natdport \
         dsttranport dsttransport transdstport destinationtranslatedport 转换后目的端口 nat目的端口 nat后目的端口",
    ),
    (
        Protocol,
        "proto protocol protoname protocolname ipproto iipproto protocolid protoid protocoltype tproto \
         transport transportprotocol l4proto l4protocol prot 协议 协议类型 协议号 协议名 协议名称 传输协议 传输层协议 ip协议",
    ),
    (
        Action,
        "action act policyaction fwaction utmaction disposition handle actiontaken responseaction \
         动作 处理动作 系统动作 处置动作 执行动作 响应动作 防护动作 阻断动作 拦截动作 策略动作 访问动作 处理方式 处置方式 响应方式 处置 \
         拦截状态 处理结果动作 控制动作",
    ),
    (
        User,
        "user username usr suser usrname loginname loginuser srcuser usersrc \
         sourceuser uname admin adminname administrator operator authuser useraccount \
         用户 用户名 用户名称 用户账号 用户帐号 操作员 管理员 管理员账号 操作用户 登录用户 登陆用户 登录名 登录账号 \
         登录帐号 操作人 操作者 主账号 认证用户",
    ),
    (Port(Peer), "clientport peerport remoteport 客户端端口"),
    (Account, "dbuser dbusername dbaccount 数据库用户 数据库用户名 数据库账号"),
    (Account, "account accountname 账号 帐号 账户 帐户 从账号 资源账号 目标账号"),
    (
        Policy,
        "policy policyname rulename securitypolicy securitypolicyname secpolicy acl aclname accesslist \
         fwrule fwpolicy rule 策略 策略名 策略名称 安全策略 规则 规则名 规则名称 控制策略 访问策略 命中策略",
    ),
    (
        PolicyId,
        "policyid ruleid aclid ruleno policyno policynumber 策略id 策略号 策略编号 规则id 规则号 规则编号",
    ),
    (
        Attack,
        "attack attackname threat threatname virus virusname signature signaturename signame vulnname \
         vulnerabilityname malware malwarename eventname alertname alarmname ruledesc 攻击 攻击名称 攻击名 \
         威胁名称 威胁 病毒名 病毒名称 木马名称 漏洞名称 特征名称 签名名称 事件名称 告警名称 攻击特征 入侵名称",
    ),
    (
        AttackCategory,
        "attacktype attackcategory threattype threatcategory attacktypename virustype 攻击类型 攻击分类 攻击类别 \
         威胁类型 威胁分类 病毒类型 漏洞类型 入侵类型",
    ),
    (
        Severity,
        "severity level risk risklevel threatlevel alertlevel alarmlevel eventlevel pri priority \
         loglevel securitylevel 严重级别 严重等级 严重程度 级别 等级 风险等级 风险级别 风险 威胁等级 威胁级别 告警级别 告警等级 \
         事件级别 事件等级 日志级别 日志等级 危险等级 危害等级 优先级 危险级别",
    ),
    (
        Kind,
        "type logtype eventtype subtype logsubtype logcomponent category eventcategory module modulename recorder \
         tag 日志类型 日志子类型 日志类别 事件类型 事件类别 事件子类型 类型 类别 模块 模块名 模块名称 日志分类 告警类型 所属模块 业务类型 审计类型",
    ),
    (
        Operation,
        "op oper opt operate operation operationtype optype operatetype event behavior behaviour opname \
         操作 操作类型 操作动作 操作名称 操作行为 行为 用户行为 事件 动作类型 操作事件 操作内容 操作命令类型",
    ),
    (
        Result,
        "result status outcome ret opresult operationresult authresult loginresult opsstatus state \
         结果 操作结果 执行结果 登录结果 登陆结果 认证结果 同步结果 传输结果 处理结果 检查结果 交换结果 检测结果 状态 传输状态 同步状态 \
         任务状态 返回结果 是否成功",
    ),
    (
        Text,
        "msg message desc description detail details content info note log 描述 内容 详情 日志内容 事件描述 \
         详细信息 日志描述 操作描述 消息 信息 备注 说明 告警内容 日志详情",
    ),
    (
        Time,
        "time logtime eventtime datetime timestamp devtime gentime occurtime happentime begintime \
         starttime optime receivetime 时间 发生时间 日志时间 产生时间 事件时间 操作时间 登录时间 攻击时间 记录时间 开始时间 告警时间 传输时间 \
         同步时间 时间戳",
    ),
    (
        Seconds,
        "duration elapsed elapsedtime sessionduration 持续时间 时长 会话时长 登录时长 持续时长",
    ),
    (Direction, "direction dir 方向 传输方向 数据流向 流向 同步方向 交换方向 攻击方向 访问方向"),
    (
        Field(names::EVENT_REASON),
        "reason cause failreason failedreason closereason blockreason 原因 失败原因 阻断原因 拒绝原因 拦截原因 错误原因 结束原因",
    ),
    (
        Field(names::PROCESS_COMMAND_LINE),
        "cmd command cmdline commandline clicommand 命令 指令 操作命令 执行命令 命令内容 操作指令",
    ),
    (
        Field(names::URL_ORIGINAL),
        "url uri urlpath requesturl requesturi requestpath 网址 请求地址 请求url 访问url 访问地址 url地址 攻击url",
    ),
    (
        Field(names::URL_DOMAIN),
        "domain domainname urldomain httphost badomain dnsdomain 域名 访问域名 恶意域名 被攻击网站 被攻击域名 网站域名",
    ),
    (Field(names::HTTP_REQUEST_METHOD), "method httpmethod requestmethod 请求方法 请求方式"),
    (
        Count(names::HTTP_RESPONSE_STATUS_CODE),
        "statuscode httpstatus httpcode rspstatus retcode 响应码 状态码 响应状态码 返回码",
    ),
    (
        Field(names::USER_AGENT_ORIGINAL),
        "useragent ua agent httpagent requestclientapplication 用户代理",
    ),
    (Field(names::HTTP_REQUEST_REFERRER), "referer referrer 来源页面"),
    (Field(names::FILE_NAME), "filename file fname 文件 文件名 文件名称 传输文件 样本名称"),
    (Field(names::FILE_PATH), "filepath path 文件路径 路径 文件目录 目录 源路径 源目录 源文件"),
    (
        Field(names::FILE_TARGET_PATH),
        "destpath targetpath 目的路径 目标路径 目的目录 目标目录 目的文件 目标文件",
    ),
    (Count(names::FILE_SIZE), "filesize fsize 文件大小 大小"),
    (Lower(names::FILE_EXTENSION), "filetype fileext 文件类型 文件后缀"),
    (Lower(names::FILE_HASH_MD5), "md5 filemd5 filehash 文件md5 样本md5"),
    (Lower(names::FILE_HASH_SHA256), "sha256 filesha256 文件sha256"),
    (Field(names::EMAIL_FROM_ADDRESS), "sender mailfrom 发件人 发件人地址"),
    (Field(names::EMAIL_TO_ADDRESS), "receiver recipient mailto 收件人 收件人地址"),
    (Field(names::EMAIL_SUBJECT), "subject mailsubject 主题 邮件主题"),
    (Field(names::DB_NAME), "dbname database databasename 数据库 数据库名 数据库名称 库名"),
    (Field(names::DB_TABLE), "tablename dbtable 表名 数据表 数据库表 同步表 源表"),
    (
        Count(names::DB_ROWS),
        "rows rowcount records recordcount 记录数 行数 同步记录数 同步条数 影响行数 数据条数",
    ),
    (Field(names::DB_STATEMENT), "sql sqltext sqlstatement sql语句 执行语句"),
    (
        Count(names::SOURCE_BYTES),
        "sentbyte sentbytes bytesfromclient bytessent sendbytes sent initbytecount bytesout outbytes txbytes upbytes 发送字节 发送字节数 上行字节 上行字节数 发送流量",
    ),
    (
        Count(names::DESTINATION_BYTES),
        "rcvdbyte receivebytes rcvdbytes bytesfromserver bytesreceived bytesrcvd rcvbytes recvbytes receivedbytes rcvd rplybytecount bytesin inbytes rxbytes downbytes 接收字节 接收字节数 下行字节 下行字节数 接收流量",
    ),
    (
        Count(names::SOURCE_PACKETS),
        "sentpkt sendpackets sentpkts packetsfromclient pktssent sendpkts sentpackets packetssent initpktcount inpkt txpkts 发送包数 发送报文数",
    ),
    (
        Count(names::DESTINATION_PACKETS),
        "rcvdpkt receivepackets rcvdpkts packetsfromserver pktsreceived rcvpkts rcvdpackets packetsreceived rplypktcount outpkt rxpkts 接收包数 接收报文数",
    ),
    (Count(names::NETWORK_BYTES), "bytes totalbytes bytecount 字节数 总字节数 传输字节数 数据量"),
    (Count(names::NETWORK_PACKETS), "packets pkts totalpkts 包数 报文数"),
    (
        Field(names::OBSERVER_INGRESS_ZONE),
        "srczone sourcezone sourcezonename zonesrc srczonename szone sarea fromzone inzone 源区域 源安全域 源域 入区域",
    ),
    (
        Field(names::OBSERVER_EGRESS_ZONE),
        "dstzone destzone destinationzonename destinationzone zonedst dstzonename dzone darea tozone outzone 目的区域 目的安全域 目的域 目标区域 出区域",
    ),
    (
        Field(names::OBSERVER_INGRESS_INTERFACE_NAME),
        "srcintf packetincominginterface sourceinterface srcinterface srcif inif inintf ininterface indev inface interfacesrc deviceinboundinterface inboundinterface iif 入接口 源接口 接入接口 流入接口",
    ),
    (
        Field(names::OBSERVER_EGRESS_INTERFACE_NAME),
        "dstintf destinationinterface dstinterface dstif outif outintf outinterface outdev outface interfacedst deviceoutboundinterface outboundinterface oif 出接口 目的接口 流出接口",
    ),
    (
        Lower(names::SOURCE_MAC),
        "smac srcmac sourcemac sourcemacaddress srcmacaddr ssrcmac 源mac 源mac地址",
    ),
    (
        Lower(names::DESTINATION_MAC),
        "dmac dstmac destmac destinationmac destinationmacaddress dstmacaddr sdstmac 目的mac 目的mac地址 目标mac",
    ),
    (
        Lower(names::NETWORK_APPLICATION),
        "app application appname applicationname apptype 应用 应用名 应用名称 应用程序",
    ),
    (
        Lower(names::NETWORK_PROTOCOL),
        "service servicename appproto appprotocol applicationprotocol l7protocol 服务 服务名称 应用协议 应用层协议",
    ),
    (
        Field(names::OBSERVER_NAME),
        "devname devicename dev fw dname dvchost hostname sysname 设备名 设备名称 主机名 主机名称 设备",
    ),
    (
        Field(names::OBSERVER_SERIAL_NUMBER),
        "devid deviceid serial serialnum serialnumber serialno sn 序列号 设备序列号 设备编号",
    ),
    (Field(names::OBSERVER_VENDOR), "vendor devicevendor manufacturer 厂商 厂家 设备厂商"),
    (
        Field(names::OBSERVER_PRODUCT),
        "product deviceproduct productname devtype devicetype 产品 产品名称 设备类型",
    ),
    (Field(names::OBSERVER_VERSION), "version deviceversion 版本"),
    (Field(names::VULNERABILITY_ID), "cve cveid cve编号 cnnvd"),
    (
        Field(names::EVENT_CODE),
        "logid eventid eventcode msgid 日志id 事件id 日志编号 事件编号 告警id",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for key in
            ["src_ip", "SrcIP", "src IP", "SRC", "SrcIPAddr(1003)", "(SrcIp", "源IP", "源地址"]
        {
            assert_eq!(meaning(key), Some(Address(Source)), "{key}");
        }
        assert_eq!(meaning("目的端口"), Some(Port(Destination)));
        assert_eq!(meaning("SentBytes(KB)"), None);
        assert_eq!(meaning(""), None);
        assert_eq!(meaning(&"src".repeat(100)), None);
    }

    #[test]
    fn no_spelling_means_two_things() {
        let all: Vec<_> =
            ALIASES.iter().flat_map(|(_, keys)| keys.split_ascii_whitespace()).collect();
        assert_eq!(TABLE.len(), all.len(), "{all:?}");
        let mut buffer = [0; MAX_ALIAS];
        for key in all {
            let length = plain(key, &mut buffer).expect("no longer than the longest");
            assert_eq!(&buffer[..length], key.as_bytes(), "{key} is written as it is compared");
        }
    }
}
