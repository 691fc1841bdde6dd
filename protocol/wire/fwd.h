// Names only: what the headers of generated messages need of the wire layer.
#pragma once

namespace klamm::wire {

class Checker;
class JsonReader;
class JsonWriter;
class Reader;
class Records;
class Writer;

}  // namespace klamm::wire
