// libxcrypt: bcrypt as the system has it. crypt_rn and crypt_gensalt_rn keep no state of their own, so any thread may call them.
#include <crypt.h>
