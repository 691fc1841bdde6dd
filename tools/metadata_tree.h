// The metadata of a cluster as a tree of names, as Apache Kafka's metadata shell shows it: directories, and leaves with
// a line of text. Pure, but for load_metadata(), which reads a file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/metadata/image.h"

namespace klamm::tools {

struct MetadataNode {
  bool directory = true;
  std::string text;  // of a leaf
  std::map<std::string, MetadataNode> children;

  MetadataNode& folder(const std::string& name) { return children[name]; }
  void leaf(const std::string& name, std::string content);
};

// Everything that a snapshot (.checkpoint) or a segment of the metadata log (.log) holds. Records of an aborted or
// unfinished transaction are left out.
Result<metadata::ImageRef> load_metadata(const std::string& path);
MetadataNode metadata_tree(const metadata::MetadataImage& image);

// A node and how the user's word names it: "topics" from within /image, "/image/topics" from anywhere.
struct FoundNode {
  std::string name;
  const MetadataNode* node;
};
// The absolute path that `word` means at `folder`: "." and ".." are followed.
std::vector<std::string> resolve_path(const std::vector<std::string>& folder, std::string_view word);
// The nodes that a word with *, ?, and {a,b} means, in their order; fails if the pattern is broken.
Result<std::vector<FoundNode>> find_nodes(const MetadataNode& root, const std::vector<std::string>& folder,
                                          std::string_view word);

}  // namespace klamm::tools
