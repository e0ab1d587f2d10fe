// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd, libmfd-recv and libmfd-qmp in C++: objects that close themselves, and functions
 * without a name that are called back. ARGV[1] is a folder for a socket.
 */
#include <mfd.h>
#include <mfd_qmp.h>
#include <mfd_recv.h>
#include <mfd_tls.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#define EXPECT(what)							\
	do {								\
		if (!(what)) {						\
			std::cerr << __FILE__ << ":" << __LINE__	\
				  << ": not so: " #what "\n";		\
			std::exit(1);					\
		}							\
	} while (false)

namespace {

constexpr std::size_t page = 4096, pages = 4;

/* A structure of the library's, with its size. (`struct`, since some share a function's name.) */
template <typename T> T sized()
{
	T value{};

	value.size = sizeof(value);
	return value;
}

struct Closer {
	void operator()(mfd_session *session) const { mfd_close(session); }
	void operator()(mfd_recv *recv) const { mfd_recv_close(recv); }
	void operator()(void *memory) const { std::free(memory); }
};

template <typename T> using Owned = std::unique_ptr<T, Closer>;

void helpers()
{
	auto params = sized<struct mfd_params>();
	auto compat = sized<struct mfd_compat>();
	auto err = sized<struct mfd_error>();
	std::uint8_t uuid[16];

	EXPECT(mfd_version() == std::to_string(MFD_VERSION_MAJOR) + "." +
	       std::to_string(MFD_VERSION_MINOR) + "." + std::to_string(MFD_VERSION_PATCH));
	EXPECT(mfd_params_init(&params) == 0);
	EXPECT(params.level == MFD_LEVEL_DEFAULT && params.machine == std::string_view("none"));
	params.size = 0;
	EXPECT(mfd_params_init(&params) == -EINVAL);

	EXPECT(mfd_compat_version(&compat, 7, 2) == 0 && compat.flush == MFD_FLUSH_SECTION);
	EXPECT(mfd_compat_detection(&compat, MFD_DETECTION_LEGACY, &err) == 0);
	EXPECT(mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, &err) == -EOPNOTSUPP);
	EXPECT(err.code == EOPNOTSUPP && err.text[0]);
	EXPECT(mfd_compat_parse(&compat, "9.0", nullptr) == 0 && compat.major == 9);
	EXPECT(mfd_compat_parse(&compat, "3.1", nullptr) == -EOPNOTSUPP);

	EXPECT(mfd_uuid_parse(uuid, "000102030405060708090a0b0c0d0e0f", &err) == 0);
	EXPECT(uuid[1] == 1 && uuid[15] == 15);
	EXPECT(mfd_uuid_parse(uuid, "none", &err) == -EINVAL && err.kind == MFD_ERROR_USAGE);
}

void source()
{
	auto err = sized<struct mfd_error>();
	auto info = sized<struct mfd_info>();
	auto progress = sized<struct mfd_progress>();
	mfd_session *opened = nullptr;
	int ret = mfd_open(&opened, nullptr, &err);
	Owned<mfd_session> session(opened);

	if (ret) {
		std::cout << err.text << "\n";
		EXPECT(ret == -err.code && err.kind == MFD_ERROR_MODULE && err.text[0]);
		return;
	}
	EXPECT(mfd_info(session.get(), &info, &err) == 0 && info.page_size == page);
	EXPECT(mfd_connect(session.get(), "unix:/nowhere", &err) == -EINVAL);
	EXPECT(mfd_progress(session.get(), &progress) == 0 && progress.rounds == 0);
}

/* Nobody comes, so the progress function, which counts to three, ends it. */
void destination(const std::string &address)
{
	auto params = sized<struct mfd_recv_params>();
	auto err = sized<struct mfd_error>();
	auto progress = sized<struct mfd_recv_progress>();
	auto stats = sized<struct mfd_recv_channel_stats>();
	Owned<void> memory(std::aligned_alloc(page, pages * page));
	struct Calls { mfd_recv *recv; int count; } calls{};

	EXPECT(mfd_recv_params_init(&params) == 0 && params.channels == 2);
	params.channels = 3;
	params.opaque = &calls;
	params.progress = [](const struct mfd_recv_progress *now, void *opaque) {
		auto *of = static_cast<Calls *>(opaque);

		EXPECT(now->state == MFD_RECV_LISTENING);
		if (++of->count == 3)
			mfd_recv_cancel(of->recv);
	};
	EXPECT(mfd_recv_open(&calls.recv, &params, &err) == 0);
	Owned<mfd_recv> recv(calls.recv);

	EXPECT(mfd_recv_listen(recv.get(), address.c_str(), &err) == -EINVAL);
	EXPECT(mfd_recv_block_add(recv.get(), "pc.ram", memory.get(), pages * page, 0, &err) == 0);
	EXPECT(mfd_recv_block_add(recv.get(), "pc.ram", memory.get(), page, 0, &err) == -EEXIST);
	EXPECT(mfd_recv_listen(recv.get(), address.c_str(), &err) == 0);
	EXPECT(mfd_recv_address(recv.get()) == address);
	EXPECT(mfd_recv_run(recv.get(), &err) == -ECANCELED);
	EXPECT(calls.count == 3);
	EXPECT(err.code == ECANCELED && err.kind == MFD_ERROR_CANCELED && err.channel == -1);
	EXPECT(mfd_recv_progress(recv.get(), &progress) == 0 && progress.state == MFD_RECV_FAILED);
	EXPECT(mfd_recv_channel_stats(recv.get(), 2, &stats) == 0 && stats.channel == 2);
	EXPECT(mfd_recv_channel_stats(recv.get(), 3, &stats) == -EINVAL);
}

/* The same from another thread. */
void destination_canceled(const std::string &address)
{
	auto params = sized<struct mfd_recv_params>();
	auto err = sized<struct mfd_error>();
	Owned<void> memory(std::aligned_alloc(page, pages * page));
	mfd_recv *opened;

	EXPECT(mfd_recv_params_init(&params) == 0);
	EXPECT(mfd_recv_open(&opened, &params, nullptr) == 0);
	Owned<mfd_recv> recv(opened);
	EXPECT(mfd_recv_block_add(opened, "pc.ram", memory.get(), pages * page, 0, nullptr) == 0);
	EXPECT(mfd_recv_listen(opened, address.c_str(), nullptr) == 0);
	std::thread other(mfd_recv_cancel, opened);
	EXPECT(mfd_recv_run(opened, &err) == -ECANCELED);
	other.join();
}

void peer(const std::string &path)
{
	auto peer = sized<struct mfd_peer>();
	auto err = sized<struct mfd_error>();

	EXPECT(mfd_peer_query(&peer, path.c_str(), 1000, &err) == -ENOENT);
	EXPECT(err.code == ENOENT && err.text[0]);
}

} // namespace

int main(int, char **argv)
{
	const std::string folder = argv[1];

	helpers();
	source();
	destination("unix:" + folder + "/first");
	destination_canceled("unix:" + folder + "/second");
	peer(folder + "/nobody");
}
