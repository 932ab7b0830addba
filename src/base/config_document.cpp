#include "base/config_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

namespace shardlora {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxDepth = 32;

// Builds the tree from the parser's events. Reading events instead of YAML::Node keeps duplicate keys visible and sees
// anchors before anything is expanded.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string name) : name_(std::move(name)) {}
  ConfigNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, {}, anchor, ConfigNode{}); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail("{}: aliases (*name) are not supported here; write the value out", place(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    ConfigNode node;
    // "?" is the parser's mark of a plain scalar, "!" of a quoted one.
    const bool plain_null =
        tag == "?" && (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL");
    if (!plain_null) {
      node.kind = ConfigNode::Kind::kScalar;
      node.text = value;
    }
    add(mark, tag, anchor, std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, ConfigNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, ConfigNode::Kind::kMapping);
  }
  void OnMapEnd() override { close(); }

 private:
  // An open mapping or sequence; `key` waits for its value.
  struct Level {
    ConfigNode node;
    std::string key, key_place;
    bool has_key = false;
  };

  std::string place(const YAML::Mark& mark) const { return fmt::format("{}:{}", name_, mark.line + 1); }

  void refuse_decoration(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != 0)
      fail("{}: anchors (&name) are not supported here; write the value out where it is needed", place(mark));
    if (!tag.empty() && tag != "?" && tag != "!")
      fail("{}: tags ({}) are not supported here; remove it", place(mark), tag);
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, ConfigNode::Kind kind) {
    refuse_decoration(mark, tag, anchor);
    if (levels_.size() >= kMaxDepth) fail("{}: nested deeper than {} levels", place(mark), kMaxDepth);
    if (waits_for_key()) fail("{}: a key must be a plain word", place(mark));
    Level level;
    level.node.kind = kind;
    level.node.place = place(mark);
    levels_.push_back(std::move(level));
  }

  void close() {
    ConfigNode node = std::move(levels_.back().node);
    levels_.pop_back();
    attach(std::move(node));
  }

  void add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, ConfigNode node) {
    refuse_decoration(mark, tag, anchor);
    node.place = place(mark);
    if (!waits_for_key()) return attach(std::move(node));
    Level& level = levels_.back();
    if (node.kind != ConfigNode::Kind::kScalar) fail("{}: a key is missing before the colon", node.place);
    for (const ConfigMember& member : level.node.members) {
      if (member.key == node.text)
        fail("{}: {}: given twice; the first is at {}", node.place, member.key, member.place);
    }
    level.key = node.text;
    level.key_place = node.place;
    level.has_key = true;
  }

  bool waits_for_key() const {
    return !levels_.empty() && levels_.back().node.kind == ConfigNode::Kind::kMapping && !levels_.back().has_key;
  }

  void attach(ConfigNode node) {
    if (levels_.empty()) {
      root_ = std::move(node);
    } else if (Level& level = levels_.back(); level.node.kind == ConfigNode::Kind::kSequence) {
      level.node.items.push_back(std::move(node));
    } else {
      level.node.members.push_back({std::move(level.key), std::move(level.key_place), std::move(node)});
      level.has_key = false;
    }
  }

  std::string name_;
  std::vector<Level> levels_;
  ConfigNode root_;
};

void rename_places(ConfigNode& node, const std::string& place) {
  node.place = place;
  for (ConfigNode& item : node.items) rename_places(item, place);
  for (ConfigMember& member : node.members) {
    member.place = place;
    rename_places(member.value, place);
  }
}

}  // namespace

ConfigNode parse_config(std::string_view yaml, const std::string& name) {
  if (yaml.size() > kMaxBytes)
    fail("{}: {} bytes are too many for a recipe (at most 1 MiB); is this the right file?", name, yaml.size());
  if (const auto nul = yaml.find('\0'); nul != std::string_view::npos) {
    const auto line = 1 + std::count(yaml.begin(), yaml.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    fail("{}:{}: not a text file; is this the right file?", name, line);
  }
  std::istringstream stream{std::string(yaml)};
  TreeBuilder builder(name);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    TreeBuilder second(name);
    if (parser.HandleNextDocument(second)) fail("{}: holds more than one YAML document (\"---\"); keep one", name);
  } catch (const YAML::Exception& error) {
    fail("{}:{}: not valid YAML: {} (column {})", name, error.mark.line + 1, error.msg, error.mark.column + 1);
  }
  return builder.take_root();
}

ConfigNode read_config_file(const std::string& path) { return parse_config(read_text(path, kMaxBytes), path); }

ConfigMember parse_override(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError(fmt::format("command line: \"{}\": expected key=value, such as lora_r=16", text));
  std::string key = text.substr(0, equals);
  ConfigNode value = parse_config(text.substr(equals + 1), "command line");
  rename_places(value, "command line");
  return {std::move(key), "command line", std::move(value)};
}

}  // namespace shardlora
