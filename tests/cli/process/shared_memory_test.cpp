// The room that Open MPI needs in shared memory.

#include "cli/process/shared_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/error.hpp"
#include "forwarding_files.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using MpiVariables = std::map<std::string, std::string>;

const char* const open_mpi_4 = "Open MPI v4.1.4";

std::optional<SharedMemoryNeed> need_in(MpiVariables variables,
                                        const std::string& words = open_mpi_4) {
  variables.insert({{"OMPI_COMM_WORLD_LOCAL_SIZE", "8"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}});
  return shared_memory_need(
      [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
      },
      words);
}

TEST(SharedMemory, EveryRankOfAHostMayNeedASegment) {
  const auto need = need_in({});
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->folder, "/dev/shm");
  EXPECT_EQ(need->ranks, 8);
  EXPECT_EQ(need->bytes, 8 * (4 << 20));
}

TEST(SharedMemory, OpenMpisOwnVariablesAreRespected) {
  const auto need = need_in({{"OMPI_MCA_btl_vader_segment_size", "1000"},
                             {"OMPI_MCA_btl_vader_backing_directory", "/scratch"}});
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->folder, "/scratch");
  EXPECT_EQ(need->bytes, 8000);
  EXPECT_TRUE(need_in({{"OMPI_MCA_btl", "vader,self"}}).has_value());
  EXPECT_TRUE(need_in({{"OMPI_MCA_btl", "^tcp"}, {"OMPI_MCA_pml", "ob1"}}).has_value());
  EXPECT_FALSE(need_in({{"OMPI_MCA_btl", "tcp,self"}}).has_value());
  EXPECT_FALSE(need_in({{"OMPI_MCA_btl", "^vader"}}).has_value());
  EXPECT_FALSE(need_in({{"OMPI_MCA_pml", "ucx"}}).has_value());
}

TEST(SharedMemory, OnlyTheFirstOfSeveralRanksOfAHostAsksAndOnlyForOpenMpi4) {
  EXPECT_FALSE(need_in({{"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}).has_value());
  EXPECT_FALSE(need_in({{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}}).has_value());
  EXPECT_FALSE(need_in({}, "MPICH Version: 4.0.2").has_value());
  EXPECT_FALSE(need_in({}, "Open MPI v5.0.11").has_value());
}

class FilesWithRoom final : public ForwardingFiles {
 public:
  explicit FilesWithRoom(int64_t bytes) : bytes_(bytes) {}
  int64_t free_bytes(const std::string&) override { return bytes_; }

 private:
  const int64_t bytes_;
};

TEST(SharedMemory, TooLittleRoomIsRefusedWithBothFiguresAndWhatToSet) {
  const SharedMemoryNeed need{"/", 8, 33'554'432};
  FilesWithRoom enough(33'554'432), little(5'000'000);
  EXPECT_NO_THROW(check_shared_memory(need, enough));
  EXPECT_NO_THROW(check_shared_memory(std::nullopt, little));
  EXPECT_NO_THROW(check_shared_memory(SharedMemoryNeed{"/not-there", 8, 33'554'432}, little));
  try {
    check_shared_memory(need, little);
    FAIL() << "5 MB are not 33";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("5000000 bytes free"), HasSubstr("8 ranks there may need 33554432"),
                      HasSubstr("OMPI_MCA_btl_vader_backing_directory")));
  }
}

}  // namespace
}  // namespace bitmill
