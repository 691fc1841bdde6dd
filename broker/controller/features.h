// Finalized features: the first records of a cluster, and UpdateFeatures. Pure.
#pragma once

#include <optional>

#include "broker/controller/compute.h"
#include "protocol/messages/update_features_request.h"
#include "protocol/messages/update_features_response.h"

namespace klamm::controller {

Decision<protocol::UpdateFeaturesResponse> update_features(const Compute& compute,
                                                           const protocol::UpdateFeaturesRequest& request,
                                                           std::int16_t api_version);

// The feature records of a new cluster: metadata.version first, then the others by name.
Records feature_records(MetadataVersion version, const metadata::FeatureLevels& features);

// What the first controller of an empty log writes: `bootstrap` in a transaction where its metadata.version has them,
// with the cluster's min.insync.replicas behind it if ELR is on.
Records bootstrap_transaction(const Records& bootstrap, const config::BrokerConfig* file);

}  // namespace klamm::controller
