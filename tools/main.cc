#include <string>
#include <vector>

#include "tools/tool.h"

int main(int count, char** words) { return klamm::tools::dispatch(std::vector<std::string>(words, words + count)); }
