//! Objects whose own words say whose they are, by a handful of names each: JumpServer's logs, the audit log of
//! MinIO and of Vault, findings of Falco.
//!
//! A product is known by names that only it uses together, or by the name that stands before the object.

use super::shapes::Picture;
use crate::decode::network;
use crate::decode::out::Out;
use crate::event::{FieldId, names};

/// One kind of object.
struct Product {
    /// The name before the object, empty when none is.
    kind: &'static str,
    /// Names that it has, all of them.
    marks: &'static [&'static str],
    category: &'static str,
    /// What happened, where no row says it.
    action: &'static str,
    security: bool,
    rows: &'static [(&'static str, FieldId)],
}

const PRODUCTS: &[Product] = &[
    Product {
        kind: "operation_log",
        marks: &["user", "action"],
        category: "configuration",
        action: "",
        security: true,
        rows: &[
            ("user", names::USER_NAME),
            ("action", names::EVENT_ACTION),
            ("remote_addr", names::SOURCE_IP),
        ],
    },
    Product {
        kind: "password_change_log",
        marks: &["user"],
        category: "iam",
        action: "password_changed",
        security: true,
        rows: &[
            ("user", names::USER_TARGET_NAME),
            ("change_by", names::USER_NAME),
            ("remote_addr", names::SOURCE_IP),
        ],
    },
    Product {
        kind: "session_command_log",
        marks: &["input"],
        category: "process",
        action: "executed",
        security: true,
        rows: &[
            ("user", names::USER_NAME),
            ("account", names::DESTINATION_USER_NAME),
            ("asset", names::DESTINATION_ADDRESS),
            ("input", names::PROCESS_COMMAND_LINE),
            ("session", names::HENGWEI_SESSION_ID),
        ],
    },
    Product {
        kind: "host_session_log",
        marks: &["user", "asset"],
        category: "session",
        action: "session",
        security: true,
        rows: &[
            ("user", names::USER_NAME),
            ("account", names::DESTINATION_USER_NAME),
            ("asset", names::DESTINATION_ADDRESS),
            ("remote_addr", names::SOURCE_IP),
            ("protocol", names::NETWORK_PROTOCOL),
            ("id", names::HENGWEI_SESSION_ID),
        ],
    },
    Product {
        kind: "ftp_log",
        marks: &["user", "filename"],
        category: "file",
        action: "",
        security: true,
        rows: &[
            ("user", names::USER_NAME),
            ("account", names::DESTINATION_USER_NAME),
            ("asset", names::DESTINATION_ADDRESS),
            ("remote_addr", names::SOURCE_IP),
            ("operate", names::EVENT_ACTION),
            ("operate.value", names::EVENT_ACTION),
            ("filename", names::FILE_PATH),
        ],
    },
    Product {
        kind: "",
        marks: &["api.name", "deploymentid"],
        category: "api",
        action: "",
        security: true,
        rows: &[
            ("api.name", names::EVENT_ACTION),
            ("api.statusCode", names::HTTP_RESPONSE_STATUS_CODE),
            ("api.object", names::FILE_PATH),
            ("remotehost", names::SOURCE_IP),
            ("userAgent", names::USER_AGENT_ORIGINAL),
            ("requestPath", names::URL_PATH),
            ("accessKey", names::USER_NAME),
        ],
    },
    Product {
        kind: "",
        marks: &["request.operation", "request.path", "auth.display_name"],
        category: "api",
        action: "",
        security: true,
        rows: &[
            ("request.operation", names::EVENT_ACTION),
            ("request.path", names::URL_PATH),
            ("request.remote_address", names::SOURCE_IP),
            ("auth.display_name", names::USER_NAME),
            ("error", names::ERROR_MESSAGE),
        ],
    },
    Product {
        kind: "",
        marks: &["rule", "priority", "output"],
        category: "intrusion_detection",
        action: "alert",
        security: true,
        rows: &[
            ("rule", names::RULE_NAME),
            ("output", names::MESSAGE),
            ("output_fields.proc.cmdline", names::PROCESS_COMMAND_LINE),
            ("output_fields.proc.name", names::PROCESS_NAME),
            ("output_fields.user.name", names::USER_NAME),
            ("output_fields.container.id", names::CONTAINER_ID),
            ("output_fields.container.name", names::CONTAINER_NAME),
            ("output_fields.fd.name", names::FILE_PATH),
            ("output_fields.k8s.ns.name", names::ORCHESTRATOR_NAMESPACE),
            ("output_fields.k8s.pod.name", names::ORCHESTRATOR_RESOURCE_NAME),
        ],
    },
];

/// Says what an object of a known product tells; true when it is one.
pub(super) fn conclude(picture: &Picture<'_>, kind: Option<&str>, out: &mut Out) -> bool {
    let product = match kind {
        Some(kind) => PRODUCTS.iter().find(|product| product.kind == kind),
        None => PRODUCTS.iter().find(|product| {
            product.kind.is_empty() && product.marks.iter().all(|mark| out.has_named(mark))
        }),
    };
    let Some(product) = product else { return false };
    if !product.marks.iter().all(|mark| out.has_named(mark)) {
        return false;
    }
    for (name, id) in product.rows {
        let Some(value) = FieldId::find(name).and_then(|field| picture.field(field, out)) else {
            continue;
        };
        let text = picture.text(value, out);
        if network::words::nothing(&text) || picture.uses(*id, out) {
            continue;
        }
        match *id {
            names::SOURCE_IP => {
                if let Some((address, _)) = network::endpoint(&text) {
                    out.address(*id, address);
                }
            }
            names::EVENT_ACTION => network::lower(*id, &text, out),
            names::HTTP_RESPONSE_STATUS_CODE => {
                if let Ok(status) = text.parse::<i64>() {
                    out.integer(*id, status);
                    out.outcome(status < 400);
                }
            }
            _ => out.fields.push((*id, value)),
        }
    }
    out.security |= product.security;
    out.word(names::EVENT_CATEGORY, product.category);
    if !picture.uses(names::EVENT_ACTION, out) && !product.action.is_empty() {
        out.word(names::EVENT_ACTION, product.action);
    }
    true
}
