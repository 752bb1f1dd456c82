//! Objects whose own words say whose they are: the audit logs of MinIO and of Vault, findings of Falco. A product
//! is known by names that only it uses together.

use super::shapes::Picture;
use crate::decode::network;
use crate::decode::out::Out;
use crate::event::{FieldId, names};

/// One kind of object.
struct Product {
    /// Names that it has, all of them.
    marks: &'static [&'static str],
    category: &'static str,
    /// What happened, where no row says it.
    action: &'static str,
    rows: &'static [(&'static str, FieldId)],
}

const PRODUCTS: &[Product] = &[
    Product {
        marks: &["api.name", "deploymentid"],
        category: "api",
        action: "",
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
        marks: &["request.operation", "request.path", "auth.display_name"],
        category: "api",
        action: "",
        rows: &[
            ("request.operation", names::EVENT_ACTION),
            ("request.path", names::URL_PATH),
            ("request.remote_address", names::SOURCE_IP),
            ("auth.display_name", names::USER_NAME),
            ("error", names::ERROR_MESSAGE),
        ],
    },
    Product {
        marks: &["rule", "priority", "output"],
        category: "intrusion_detection",
        action: "alert",
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
pub(super) fn conclude(picture: &Picture<'_>, out: &mut Out) -> bool {
    let has = |product: &&Product| product.marks.iter().all(|mark| out.has_named(mark));
    let Some(product) = PRODUCTS.iter().find(has) else { return false };
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
    out.security = true;
    out.word(names::EVENT_CATEGORY, product.category);
    if !picture.uses(names::EVENT_ACTION, out) && !product.action.is_empty() {
        out.word(names::EVENT_ACTION, product.action);
    }
    true
}
